"""Convert an Audio Spectrogram Transformer checkpoint to a Hugging Face model folder: python convert.py --help"""

import os
import sys

import hydra
from omegaconf import DictConfig

from ast2hf import cli, config

outcomes: list[int] = []


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def launch(job: DictConfig) -> None:
    outcomes.append(cli.run_job(job))


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come through to cli.main, which shows them in one line
    config.register()
    sys.exit(cli.main(launch, outcomes))
