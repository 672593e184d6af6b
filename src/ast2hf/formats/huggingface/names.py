"""The files of a Hugging Face model folder."""

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
WEIGHTS = "model.safetensors"
HEAD = "head.safetensors"
CARD = "README.md"
REPORT = "conversion_report.json"

MODEL_FILES = (WEIGHTS, CONFIG, PREPROCESSOR)
"""Those that make a model with a feature extractor; card and report are about it, and name times and places."""

ALL_MODEL_FILES = (*MODEL_FILES, HEAD)
"""All that a model can have; there is nothing else that is hashed, linked, fetched or sent to the Hub."""


def model_files(*, extractor: bool, head_apart: bool) -> tuple[str, ...]:
    """The files of one model. ``head_apart``: it is an encoder, and the head of its checkpoint lies beside it."""
    left_out = {PREPROCESSOR: not extractor, HEAD: not head_apart}
    return tuple(name for name in ALL_MODEL_FILES if not left_out.get(name, False))
