"""Convert Audio Spectrogram Transformer checkpoints to Hugging Face model folders, with proof."""

from ast2hf import torchaudio_guard

__version__ = "0.1.0"

torchaudio_guard.install()
