"""Coverage-guided fuzzing of the intake with atheris: ``PYTHONPATH=tests python -m support.fuzz_intake CORPUS …``.

The first byte of an input says what the others are: a whole file, the pickle of a zip (whose checksum is then made to
fit), the pickle of a legacy file, or the seed of a zip whose structure is bent. Ends with an error, and keeps the
input, at the first one that gives neither a clean error nor verified weights (those that torch.load reads, where it
reads any), takes 10 seconds or 2 GB.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["ast2hf", "pickletools", "zipfile"]):
    from support.intake_target import examiner, valid
from support.bending import with_bent_structure
from support.mutations import legacy_parts, rebuilt, records

FILE, ZIP, LEGACY, BENT = range(4)


def main() -> None:
    warnings.filterwarnings("ignore", message="invalid escape sequence")
    corpus = Path(sys.argv[1])
    zip_file, legacy_file = valid(zipped=True), valid(zipped=False)
    entries, (head, pickled, rest) = records(zip_file), legacy_parts(legacy_file)
    for i, (kind, content) in enumerate(
        (
            (FILE, zip_file),
            (FILE, legacy_file),
            (ZIP, entries["archive/data.pkl"]),
            (LEGACY, pickled),
            *((BENT, bytes([seed])) for seed in range(20)),
        )
    ):
        (corpus / f"valid-{i}").write_bytes(bytes([kind]) + content)

    with tempfile.TemporaryDirectory() as folder:
        examine = examiner(Path(folder))

        def run(data: bytes) -> None:
            kind, content = data[:1], data[1:]
            if kind == bytes([ZIP]):
                content = rebuilt({**entries, "archive/data.pkl": content})
            elif kind == bytes([LEGACY]):
                content = head + content + rest
            elif kind == bytes([BENT]):
                content = with_bent_structure(zip_file, Random(content))
            examine(content)

        limits = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=16384", f"-artifact_prefix={corpus}/"]
        atheris.Setup([sys.argv[0], *limits, *sys.argv[1:]], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
