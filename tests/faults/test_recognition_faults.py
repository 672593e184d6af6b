"""Cases 109 to 119: sound files that are not what they seem, or do not say what they are."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from checkpoints import CUSTOM, FILE, GEOMETRY, SAID, asked, converted, refused, saved
from conftest import ROOT, TINY, Cli
from safetensors import safe_open
from support.models import TINY_OVERRIDES

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST
from ast2hf.formats.huggingface import names

PLAIN = synthetic.state_dict(AST, TINY, 1, prefix="")
HIDDEN = TINY.hidden_size
ZERO_START = {**PLAIN, "v.head.bias": torch.zeros(1000)}
"""Started from no ImageNet model: an SSAST that was fine-tuned, or an AST from scratch."""

UNTRAINED = {**PLAIN, "mlp_head.0.weight": torch.ones(HIDDEN), "mlp_head.0.bias": torch.zeros(HIDDEN)}
HEAD = {
    "0.weight": torch.full((HIDDEN,), 0.5), "0.bias": torch.full((HIDDEN,), 0.25),
    "1.weight": torch.full((5, HIDDEN), 0.125), "1.bias": torch.zeros(5),
}  # fmt: skip

FAMILIES = [
    "model.family=ssast model.pooling=mean",
    "model.family=ast model.pooling=cls",
    "model.family=ssast model.pooling=cls",
]


@pytest.mark.fault(109, "a fine-tuned SSAST, which averages the patches, as custom and as an official variant")
def test_a_fine_tuned_ssast(cli, came_out):
    for said in (CUSTOM, TINY_OVERRIDES):
        result, answers = asked(cli, saved(ZERO_START), *said)
        assert answers == FAMILIES
        assert "v.head.bias is all zeros" in result.error_line
    result = refused(cli, saved(ZERO_START), *FAMILIES[0].split())
    assert "the model averages the patches, but Hugging Face's AST averages its two class tokens" in result.error_line
    assert "model.head=none" in result.error_line
    came_out(result)


@pytest.mark.fault(109, "each answer to its question")
def test_the_answers(cli):
    for number, answer in enumerate(FAMILIES):
        (cli.folder / FILE).write_bytes(saved(ZERO_START))
        head = ["model.head=none"] if "mean" in answer else []
        result = cli(*CUSTOM, *answer.split(), *head, f"output_dir=model{number}")
        assert result.code == 0, result.err
        report = json.loads((cli.folder / f"model{number}" / names.REPORT).read_text())
        assert report["checks"]["recognition"]["measured"]["pooling"] == ("mean" if head else "cls")


@pytest.mark.fault(110, "a Patch-Mix file: an untrained head in the model, the trained one beside it")
def test_a_patch_mix(cli, came_out):
    value = {"args": None, "model": {f"module.{n}": t for n, t in UNTRAINED.items()}, "epoch": 3, "classifier": HEAD}
    result = converted(cli, saved(value), "model").result
    with safe_open(cli.folder / "model" / names.WEIGHTS, "pt") as file:
        assert torch.equal(file.get_tensor("classifier.dense.weight"), HEAD["1.weight"])
        assert torch.equal(file.get_tensor("classifier.layernorm.bias"), HEAD["0.bias"])
    report = json.loads((cli.folder / "model" / names.REPORT).read_text())
    assert (report["family"], report["geometry"]["num_labels"]) == ("patchmix", 5)
    assert "mlp_head.1.weight" in report["dropped_tensors"]
    assert any("repeat recordings that are shorter than the input" in note for note in report["notes"])
    came_out(result, classes=report["geometry"]["num_labels"])


@pytest.mark.fault(110, "two trained heads, and a Patch-Mix model that did not start from ImageNet")
def test_two_heads(cli):
    _, answers = asked(cli, saved({"model": PLAIN, "classifier": HEAD}), *CUSTOM)
    assert answers == ["model.family=ast", "model.family=patchmix"]
    value = {**UNTRAINED, "v.head.bias": torch.zeros(1000)}
    _, answers = asked(cli, saved({"model": value, "classifier": HEAD}), *CUSTOM)
    assert answers == ["model.family=ssast model.pooling=mean", "model.family=patchmix model.pooling=cls"]


@pytest.mark.fault(111, "an untrained head, and no other")
def test_an_untrained_head(cli, came_out):
    for said in ((), ("model.family=ast",), TINY_OVERRIDES):
        result = refused(cli, saved(UNTRAINED), *said)
        assert "the classifier was never trained: its layer norm mlp_head.0 is exactly ones" in result.error_line
        assert "model.head=none" in result.error_line
    came_out(result)
    assert cli(*CUSTOM, "model.head=none").code == 0


@pytest.mark.fault(112, "net. and net_swa., state_dict and state_dict_ema in one file")
def test_several_models(cli, came_out):
    twins = {f"{prefix}{n}": t * factor for prefix, factor in (("net.", 1), ("net_swa.", 2)) for n, t in PLAIN.items()}
    result, answers = asked(cli, saved({"state_dict": twins}), *CUSTOM)
    assert answers == ["checkpoint_prefix=net_swa.", "checkpoint_prefix=net."]
    came_out(result)
    averaged = {name: value * 2 for name, value in PLAIN.items()}
    _, answers = asked(cli, saved({"state_dict": PLAIN, "state_dict_ema": averaged}), *CUSTOM)
    assert answers == ["checkpoint_key=state_dict_ema", "checkpoint_key=state_dict"]
    (cli.folder / FILE).write_bytes(saved({"state_dict": twins}))
    assert cli(*CUSTOM, "checkpoint_prefix=net.").code == 0
    with safe_open(cli.model_folder("custom") / names.WEIGHTS, "pt") as file:
        assert torch.equal(file.get_tensor("classifier.dense.bias"), PLAIN["mlp_head.1.bias"])


@pytest.mark.fault(112, "a key and a prefix without a model")
def test_no_model_there(cli):
    for said in ("checkpoint_key=ema", "checkpoint_prefix=module."):
        result = refused(cli, saved({"state_dict": PLAIN}), said)
        assert f"the checkpoint has no model under {said}" in result.error_line


@pytest.mark.fault(113, "a family and an official variant that contradict the file")
def test_contradictions(cli, came_out):
    for said, words in (
        (("model.family=passt",), "model.family=passt means PaSST, but the checkpoint's tensors are those of Audio"),
        (("model.family=ast", "model.pooling=mean"), "model.pooling=mean does not fit the checkpoint's family"),
        (("model=ast_16_16",), "model.max_length=64, model.num_mel_bins=128, but the checkpoint has 40 position"),
        (("model=ast_16_16", "model.max_length=1024"), "ast-finetuned-audioset-16-16-0.442) are model.frequency"),
        (("model.max_length=640",), "model.max_length=640"),
    ):
        shapes = {**PLAIN, "v.pos_embed": torch.ones(1, 40, HIDDEN)} if "model=ast_16_16" in said else PLAIN
        result = refused(cli, saved(shapes), *said)
        assert words in result.error_line
    came_out(result)


def tensors(*found: str) -> dict[str, torch.Tensor]:
    return {name: torch.ones(2, 2) for name in found}


@pytest.mark.fault(114, "BEATs, EAT, M2D, AudioMAE, CAV-MAE, Dasheng, CED, ATST, a CNN, behind module.")
def test_other_audio_models(cli, came_out):
    block = "blocks.0.attn.qkv.weight"
    for value, words in (
        (tensors("encoder.layers.0.self_attn.grep_linear.weight", "patch_embedding.weight"), "a BEATs: it normalises"),
        (tensors("modality_encoders.IMAGE.extra_tokens", block), "an EAT"),
        (tensors("norm_stats", block, "cls_token"), "an M2D"),
        (tensors("decoder_embed.weight", "mask_token", block), "a pretrained masked autoencoder, such as AudioMAE"),
        (tensors("blocks_a.0.norm1.weight", "modality_a"), "a CAV-MAE"),
        (tensors("time_pos_embed", "freq_pos_embed", block), "a Dasheng"),
        (tensors("time_pos_embed", "freq_pos_embed", block, "outputlayer.1.weight"), "a CED"),
        (tensors("mask_embed", "patch_embed.patch_embed.weight", "norm.weight"), "an ATST-Clip"),
        (tensors("features.0.0.weight", "features.0.1.running_mean"), "a convolutional network"),
    ):
        result = refused(cli, saved({f"module.{name}": tensor for name, tensor in value.items()}))
        assert f"looks like {words}" in result.error_line
    came_out(result)


@pytest.mark.fault(115, "strides and length that the tensors do not determine")
def test_open_strides(cli, came_out):
    result, answers = asked(cli, saved(PLAIN), "model=custom", *SAID)
    assert "strides and length are ambiguous:" in result.error_line
    said = {"model.frequency_stride=16", "model.time_stride=16"}
    assert any(said < set(answer.split()) for answer in answers)
    came_out(result)
    result, answers = asked(cli, saved(PLAIN), "model=custom", *SAID, "model.max_length=64")
    assert "model.frequency_stride=16 model.time_stride=16" in answers
    (cli.folder / FILE).write_bytes(saved(PLAIN))
    assert cli(*CUSTOM[:5], *SAID, *GEOMETRY[:2]).code == 0
    written = json.loads((cli.model_folder("custom") / names.CONFIG).read_text())
    assert written["max_length"] == 70


@pytest.mark.fault(116, "normalisation and loss not set; a placeholder left in the command")
def test_facts_that_no_file_contains(cli, came_out):
    result, answers = asked(cli, saved(PLAIN), "model=custom", *GEOMETRY)
    assert "stats=esc50" in answers
    assert "loss=ce" in answers
    came_out(result)
    _, answers = asked(cli, saved(PLAIN), "model=custom", "model.std=2", "loss=bce", *GEOMETRY)
    assert answers[-1] == "model.mean=MEAN model.std=STD"
    for left_in in ("stats=CHOOSE", "loss=CHOOSE", "model.max_length=CHOOSE"):
        result = cli(*CUSTOM, left_in)
        assert result.code == 2
        assert "CHOOSE" in result.error_line


@pytest.mark.fault(117, "unknown tensors beside the model; an adapter inside it, with unused=drop")
def test_unknown_tensors(cli, came_out):
    wrapped = {f"ast.{name}": value for name, value in PLAIN.items()}
    value = {**wrapped, "projector.weight": torch.ones(3, 3), "loss.pos_weight": torch.ones(7)}
    result = refused(cli, saved(value))
    assert "the checkpoint has tensors that are not part of the model (projector.weight [3, 3])" in result.error_line
    came_out(result)
    (cli.folder / FILE).write_bytes(saved(value))
    assert cli(*CUSTOM, "unused=drop").code == 0
    report = json.loads((cli.model_folder("custom") / names.REPORT).read_text())
    assert "unused=drop" in report["dropped_tensors"]["projector.weight"]
    assert "loss" in report["dropped_tensors"]["loss.pos_weight"]
    for name in ("v.blocks.0.attn.qkv.lora_A", "v.blocks.1.ls1.gamma"):
        result = refused(cli, saved({**PLAIN, name: torch.ones(4, HIDDEN)}), "unused=drop", "output_dir=other")
        assert f"unknown tensors inside the model ({name} [4, 64])" in result.error_line


@pytest.mark.fault(118, "an AST without distillation token; a PaSST with distilled=False")
def test_one_class_token(cli, came_out):
    value = {name: tensor for name, tensor in PLAIN.items() if name != "v.dist_token"}
    result = refused(cli, saved(value))
    assert "an AST without distillation token" in result.error_line
    assert "it has one class token, but Hugging Face's AST always has two" in result.error_line
    came_out(result)
    result = refused(cli, saved(tensors("new_pos_embed", "freq_new_pos_embed", "time_new_pos_embed", "cls_token")))
    assert "a PaSST without distillation token" in result.error_line


def inspected(cli: Cli, content: bytes, *arguments: str):
    """What a command in a process of its own found, and the result. It must not have imported torch."""
    (cli.folder / FILE).write_bytes(content)
    code = (
        "import sys; sys.argv = ['convert.py', *sys.argv[1:]]\n"
        "from ast2hf.cli.main import main\n"
        "code = main()\n"
        "assert not {'torch', 'transformers', 'mlflow', 'matplotlib'} & set(sys.modules), 'torch was imported'\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "task=inspect", f"checkpoint={FILE}", *arguments],
        cwd=cli.folder, env={**cli.environment, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    (run,) = (cli.outputs / "runs").iterdir()
    assert {path.name for path in run.iterdir()} <= {".hydra", "ast2hf.log", "inspection.json"}
    assert {path.name for path in cli.outputs.iterdir()} == {"runs"}
    found = json.loads((run / "inspection.json").read_text()) if (run / "inspection.json").exists() else None
    return done, found


@pytest.mark.fault(119, "task=inspect of a recognised file: no torch, only the run folder written")
def test_inspect(cli, came_out):
    done, found = inspected(cli, saved({"model": PLAIN}), *GEOMETRY)
    assert done.returncode == 0, done.stderr
    assert (found["verdict"], found["family"], found["keys"]) == ("recognised", "ast", ["model"])
    assert found["geometry"]["num_labels"] == 7
    assert f"  python convert.py model=custom checkpoint={FILE} model.frequency_stride=16" in done.stdout
    came_out(verdict=found["verdict"], command=found["command"])


@pytest.mark.parametrize(
    ("value", "code", "verdict"),
    [
        (ZERO_START, 0, "ambiguous"),
        (tensors("modality_encoders.IMAGE.extra_tokens"), 3, "refused"),
        ({**PLAIN, "v.blocks.0.attn.qkv.lora_A": torch.ones(4, HIDDEN)}, 3, "refused"),
        ([1, 2], 3, None),
    ],
)
@pytest.mark.fault(119, "task=inspect of an ambiguous, a refused and an empty file")
def test_inspect_of_others(cli, value, code, verdict):
    done, found = inspected(cli, saved(value), *GEOMETRY)
    assert done.returncode == code, done.stderr
    assert (found and found["verdict"]) == verdict
    if code:
        assert done.stderr.splitlines()[-1].startswith("error: ")
