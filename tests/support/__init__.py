"""What the tests share: tiny models, the command line, and servers, files and programs of their own."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
"""The repository."""
