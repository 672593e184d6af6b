"""Convert an Audio Spectrogram Transformer checkpoint to a Hugging Face model folder: python convert.py --help"""

import sys

from ast2hf.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
