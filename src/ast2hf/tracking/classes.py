"""The figures of each class over a data set as a CSV file, which MLflow shows as a table."""

from __future__ import annotations

import csv
from pathlib import Path

from ast2hf.errors import printable
from ast2hf.results import Evaluation


def write(path: Path, evaluation: Evaluation) -> Path:
    """Write a CSV: one row for each class, the largest difference first, those without figures last. Raises OSError."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("class", "clips", "AP original", "AP converted", "difference"))
        rows = []
        for known in evaluation.classes:
            label = printable(known.label)  # that of somebody else's folder may have what no encoding knows
            change = known.difference
            if change is None:
                rows.append((-1.0, (label, known.positives, "", "", "")))
                continue
            figures = (f"{known.original:.6f}", f"{known.converted:.6f}", f"{change:+.2e}")
            rows.append((abs(change), (label, known.positives, *figures)))
        table.writerows(row for _, row in sorted(rows, key=lambda pair: -pair[0]))
    return path
