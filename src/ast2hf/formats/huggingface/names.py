"""The files of a Hugging Face model folder."""

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
"""Where transformers looks for a feature extractor first. No AST model has one, and none is proved."""

WEIGHTS = "model.safetensors"
HEAD = "head.safetensors"
CARD = "README.md"
REPORT = "conversion_report.json"

MODEL_FILES = (WEIGHTS, CONFIG, PREPROCESSOR)
"""The files of a model with a feature extractor; card and report only describe it, with times and places."""

ALL_MODEL_FILES = (*MODEL_FILES, HEAD)
"""All files that a model can have; nothing else is hashed, linked, downloaded or pushed to the Hub."""


def model_files(*, extractor: bool, head_apart: bool) -> tuple[str, ...]:
    """The files of one model. ``head_apart``: it is an encoder, with the head of its checkpoint in a separate file."""
    left_out = {PREPROCESSOR: not extractor, HEAD: not head_apart}
    return tuple(name for name in ALL_MODEL_FILES if not left_out.get(name, False))
