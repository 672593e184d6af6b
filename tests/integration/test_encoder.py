"""``model.head=none`` on the command line: the encoder alone, as its users get it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import TINY, TINY_OVERRIDES
from support.hub_server import HubServer

ENCODER = ("model.head=none", "checkpoint=synthetic:1")

LOAD = """
import json, sys, torch
from transformers import AutoModel
model, info = AutoModel.from_pretrained(sys.argv[1], output_loading_info=True)
features = torch.randn(1, model.config.max_length, 128, generator=torch.Generator().manual_seed(0))
with torch.inference_mode():
    outputs = model.eval()(features)
fits = {key: sorted(map(str, info[key])) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")}
print(json.dumps({"class": type(model).__name__, "fits": fits, "pooled": outputs.pooler_output[0].tolist()}))
"""


def loaded(cli, place, **environment):
    """What transformers makes of a folder or a repository, in a process that knows nothing of ast2hf."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(place)],
        capture_output=True, text=True, env={**cli.environment, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def encoder(cli):
    result = cli.tiny(*ENCODER, "output_dir=encoder")
    assert result.code == 0, result.err
    assert f"AutoModel.from_pretrained({str(cli.folder / 'encoder')!r})" in result.out
    return cli.folder / "encoder"


def test_it_is_the_encoder_of_the_classifier(cli, encoder):
    assert cli.tiny("checkpoint=synthetic:1", "output_dir=classifier").code == 0
    found, of_classifier = loaded(cli, encoder), loaded(cli, cli.folder / "classifier")
    assert found["class"] == "ASTModel"
    assert not any(found["fits"].values())
    assert len(found["pooled"]) == TINY.hidden_size
    assert found["pooled"] == of_classifier["pooled"]
    assert any(name.startswith("classifier.") for name in of_classifier["fits"]["unexpected_keys"])


def test_config_report_and_card_speak_of_an_encoder(cli, encoder):
    config = json.loads((encoder / "config.json").read_text())
    assert config["architectures"] == ["ASTModel"]
    assert not {"id2label", "label2id", "problem_type"} & set(config)
    report = json.loads((encoder / "conversion_report.json").read_text())
    assert (report["status"], report["head"]) == ("passed", "none")
    assert report["checks"]["logits"]["status"] == "not_applicable"
    assert report["checks"]["pooled"]["status"] == "passed"
    card = (encoder / "README.md").read_text()
    assert "pipeline_tag: feature-extraction" in card
    assert "AutoModelForAudioClassification" not in card
    snippet = card.split("```python\n")[1].split("```")[0].replace("path/to/this/folder", str(encoder))
    done = subprocess.run([sys.executable, "-c", snippet], cwd=cli.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"torch.Size([1, {TINY.hidden_size}])" in done.stdout


def test_it_is_pushed_and_loads_by_its_name(cli, tmp_path):
    with HubServer(tmp_path / "hub") as hub:
        result = cli.tiny(*ENCODER, "hub=push", "hub.repo_id=me/encoder", **hub.environment())
        assert result.code == 0, result.err
        assert len(hub.repos["model", "me/encoder"].history()) == 1
        remote = loaded(cli, "me/encoder", **hub.environment(), HF_HOME=str(tmp_path / "another home"))
    assert remote == loaded(cli, cli.model_folder())
    assert remote["class"] == "ASTModel"


def test_it_is_recorded_but_cannot_be_registered_as_a_classifier(cli):
    result = cli("experiment=offline", *TINY_OVERRIDES, *ENCODER, "tracking.log_model=true")
    assert result.code == 2, result.err
    assert "tracking.log_model=true registers a classifier, but model.head=none makes an encoder" in result.error_line
    assert "Read and vet" not in result.err
    assert sorted(path.name for path in cli.outputs.iterdir()) == ["runs"]
    result = cli("experiment=offline", *TINY_OVERRIDES, *ENCODER)
    assert result.code == 0, result.err
    assert "mlflow " in result.out
