"""The files of a Hugging Face model folder."""

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
REPORT = "conversion_report.json"

MODEL_FILES = (WEIGHTS, CONFIG, PREPROCESSOR)
"""Those that make the model; card and report are about it, and name times and places."""

PUBLISHED = (CONFIG, WEIGHTS, PREPROCESSOR, CARD, REPORT)
"""All that a published folder has, and all that is ever sent to the Hub."""
