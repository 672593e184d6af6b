"""Convert an Audio Spectrogram Transformer checkpoint to a Hugging Face model folder: python convert.py --help"""

import os
import signal
import sys

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until cli.main: an interrupted import would print a traceback

import hydra
from omegaconf import DictConfig

from ast2hf import cli, composition
from ast2hf.sweep import Job

jobs: list[Job] = []


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def launch(composed: DictConfig) -> Job:
    jobs.append(cli.run_job(composed))
    return jobs[-1]


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come through to cli.main, which shows them in one line
    composition.register()
    sys.exit(cli.main(launch, jobs))
