"""Every variant at published size through the command line: the differences stay within what was promised."""

from __future__ import annotations

import json
import math

import pytest
from conftest import ROOT, VARIANTS, model_of

from ast2hf.render.rows import rows
from ast2hf.results import CheckResult, Report

POOLED = 5e-6
LOGITS = 2e-5
END_TO_END = 2e-3


@pytest.mark.full
@pytest.mark.long
def test_every_variant_is_proved_on_the_cpu(cli):
    result = cli("-m", "model=glob(ast_*)", "experiment=offline", "tracking=off")
    assert result.code == 0, result.err
    reports = [json.loads(p.read_text()) for p in cli.outputs.glob("models/*/conversion_report.json")]
    assert sorted(r["model"] for r in reports) == sorted(model_of(v).name for v in VARIANTS)
    for report in reports:
        assert report["status"] == "passed"
        measured = {name: check["measured"] for name, check in report["checks"].items()}
        assert measured["weights"] == {"bit_exact": 203, "recomputed": 0}
        assert measured["pooled"]["max_abs_diff"] <= POOLED
        assert 0 < measured["logits"]["max_abs_diff"] <= LOGITS  # the epsilon of the head shows
        assert measured["logits"]["top5_agreement"] == 1.0
        assert 0 < measured["end_to_end"]["max_abs_diff"] <= END_TO_END
    compare_with_readme(next(r for r in reports if "16-16" in r["model"]))


def compare_with_readme(report):
    """Its table is that of a real run; another processor rounds in another way, but not by another order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = [line.strip("| ").split(" | ") for line in readme.splitlines() if line.endswith("passed |")]
    checks = {name: CheckResult(name, **check) for name, check in report["checks"].items()}
    made = [list(row) for row in rows(Report(report["model"], checks=checks)) if row.status == "passed"]
    for row in (*shown, *made):
        if row[1].startswith("max difference") and (value := float(row[1].split()[-1])):
            row[1] = f"max difference {math.log10(value):.0f}"
    assert shown == made


@pytest.mark.full
def test_the_default_epsilon_of_transformers_fails_the_proof(cli):
    result = cli("experiment=offline", "tracking=off", "model=ast_speech_commands_v2", "model.layer_norm_eps=1e-12")
    assert result.code == 5
    (report,) = cli.run_reports()
    assert report["checks"]["last_hidden_state"]["status"] == "failed"
    assert report["first_divergence"] == "blocks.0"
    assert not (cli.outputs / "models").exists() or not list((cli.outputs / "models").iterdir())
