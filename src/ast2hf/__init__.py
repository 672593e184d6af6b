"""Convert Audio Spectrogram Transformer checkpoints to Hugging Face model folders, with proof.

Importing this changes nothing and is quick: what it offers is imported when it is first asked for.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ast2hf.api import convert, inspect, verify
    from ast2hf.inspection import Inspection
    from ast2hf.results import Conversion, Report

__all__ = ["Conversion", "Inspection", "Report", "__version__", "convert", "inspect", "verify"]

_HOMES = {
    "convert": "api",
    "inspect": "api",
    "verify": "api",
    "Conversion": "results",
    "Inspection": "inspection",
    "Report": "results",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
