"""Cases 12 to 16 and 20 to 23: sound files whose tensors are not those of an AST, or are not as they should be."""

import re
import warnings

import pytest
import torch
from checkpoints import CUSTOM, asked, converted, refused, saved
from conftest import TINY, Cli

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST

ORIGINAL = synthetic.state_dict(AST, TINY, 1)
PLAIN = {name.removeprefix("module."): value for name, value in ORIGINAL.items()}
NAME = "v.blocks.1.mlp.fc1.weight"


def changed(**tensors: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**PLAIN, **tensors}


def with_one(value: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The tensor NAME with ``value`` as its last element."""
    tensor = PLAIN[NAME].to(dtype).clone()
    tensor.view(-1)[-1] = value
    return tensor


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The hashes of the files that PLAIN becomes."""
    return converted(Cli.make(tmp_path_factory.mktemp("plain")), saved(PLAIN), "plain").files


@pytest.mark.fault(12, "a NaN and an infinity among the weights; an existing folder with overwrite=true")
def test_values_that_are_not_finite(cli, came_out):
    target = cli.folder / "model"
    target.mkdir()
    (target / "model.safetensors").write_bytes(b"from before")
    for value in (float("-inf"), float("nan")):
        result = refused(cli, saved(changed(**{NAME: with_one(value)})), "output_dir=model", "overwrite=true")
        assert f"tensor {NAME} has values that are not finite" in result.error_line
    came_out(result)


@pytest.mark.fault(13, "sparse, quantized, meta, complex, conjugate, boolean and integer tensors")
@pytest.mark.filterwarnings("ignore")
def test_other_tensors(cli, came_out):
    complex_ = torch.ones(2, dtype=torch.complex64)
    for value, words in (
        (torch.eye(2).to_sparse(), "contains a sparse tensor"),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "contains a quantized tensor"),
        (torch.empty(2, device="meta"), "contains a tensor without values"),
        (torch.imag(complex_.conj()), "has the negative or conjugate bit set"),
        (complex_, "has shape [2], expected [256, 64]"),
        (torch.ones(256, 64, dtype=torch.complex64), f"{NAME} has dtype complex64"),
        (torch.ones(256, 64, dtype=torch.bool), f"{NAME} has dtype bool"),
        (torch.ones(256, 64, dtype=torch.int64), f"{NAME} has dtype int64"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = saved(changed(**{NAME: value}))
        result = refused(cli, content)
        assert words in result.error_line
    came_out(result)


@pytest.mark.fault(14, "fp16 and bf16 are widened exactly, float64 is rounded, with a note in the log")
def test_other_floats(cli, came_out):
    kinds = (torch.float16, torch.bfloat16, torch.float64)
    mixed = {name: value.to(kinds[i % 3]) for i, (name, value) in enumerate(PLAIN.items())}
    files, log, result = converted(cli, saved(mixed), "mixed")
    float32 = converted(cli, saved({name: value.to(torch.float32) for name, value in mixed.items()}), "float32")
    assert files == float32.files
    for how in ("note: float16 tensors widened", "bfloat16 tensors widened", "float64 tensors rounded"):
        assert f"{how} to float32" in log
    said = re.findall(r"note: (\w+ tensors .* to float32.*)", log)
    came_out(result, same_bytes_as_from_float32=files == float32.files, said=said)


@pytest.mark.fault(14, "a float64 value beyond the range of float32")
def test_a_float64_that_overflows(cli, came_out):
    result = refused(cli, saved(changed(**{NAME: with_one(1e300, torch.float64)})))
    assert f"tensor {NAME} has values that are not finite in float32" in result.error_line
    came_out(result)


@pytest.mark.fault(15, "with and without module., in {state_dict: …} and in {model: …, optimizer: …}")
def test_wrappers(cli, plain, came_out):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.Adam([weight])
    optimizer.step()
    found = [
        converted(cli, saved(value), f"model{i}")
        for i, value in enumerate(
            (
                ORIGINAL,
                {"state_dict": PLAIN},
                {"model": ORIGINAL, "optimizer": optimizer.state_dict()},
                {"any": [{"name": {f"net._orig_mod.{name}": value for name, value in PLAIN.items()}}]},
            )
        )
    ]
    assert [conversion.files for conversion in found] == [plain] * 4
    assert "the state dict was found under state_dict" in found[1].log
    assert "the state dict was found under model" in found[2].log
    assert "the state dict was found under any/0/name" in found[3].log
    assert "removed from the tensor names: prefix net._orig_mod." in found[3].log
    came_out(found[-1].result, identical_models=[conversion.files for conversion in found].count(plain))


@pytest.mark.fault(15, "two state dicts in one file")
def test_two_candidates(cli):
    copies = {name: value.clone() for name, value in PLAIN.items()}
    result, answers = asked(cli, saved({"model": copies, "state_dict": ORIGINAL}), *CUSTOM)
    assert (
        "the checkpoint holds 2 models (model, state_dict module.) and does not say which one to use"
        in result.error_line
    )
    assert answers == ["checkpoint_key=model", "checkpoint_key=state_dict"]


@pytest.mark.fault(15, "the same state dict twice in one file")
def test_one_candidate_twice(cli, plain):
    assert converted(cli, saved({"model": PLAIN, "state_dict": ORIGINAL}), "twice").files == plain


@pytest.mark.fault(16, "a missing, a misshapen and 25 further tensors")
def test_tensors_that_do_not_fit(cli, came_out):
    value = changed(
        **{"v.norm.weight": torch.ones(65), **{f"v.extra.{i:02}.{'x' * 180}": torch.ones((1,) * 16) for i in range(25)}}
    )
    del value["v.norm.bias"]
    result = refused(cli, saved(value))
    assert "27 tensors differ: " in result.error_line
    assert "v.norm.weight has shape [65], expected [64]" in result.error_line
    assert "missing v.norm.bias [64]" in result.error_line
    assert result.error_line.count("unexpected v.extra.") == 18
    assert ", and 7 more; choose the model" in result.error_line
    came_out(result)


@pytest.mark.fault(16, "a tensor of a block that a model cannot have")
def test_a_block_number_is_not_the_depth(cli):
    result = refused(cli, saved(changed(**{"v.blocks.99999999999.norm1.bias": torch.ones(64)})))
    assert "unexpected v.blocks.99999999999.norm1.bias [64]" in result.error_line


@pytest.mark.fault(20, "a file in the legacy format, not a zip")
def test_the_legacy_format(cli, plain, came_out):
    legacy = converted(cli, saved(PLAIN, zipped=False), "legacy")
    assert legacy.files == plain
    came_out(legacy.result, same_bytes_as_from_a_zip=legacy.files == plain)


@pytest.mark.fault(21, "best_optim_state.pth")
def test_an_optimizer(cli, came_out):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.Adam([weight], 1e-5, weight_decay=5e-7, betas=(0.95, 0.999))
    optimizer.step()
    result = refused(cli, saved(optimizer.state_dict()))
    assert "the checkpoint is the state of an optimizer" in result.error_line
    assert "best_audio_model.pth" in result.error_line
    came_out(result)


@pytest.mark.fault(22, "tensors that share a storage, transposed, strided and offset views")
def test_shared_and_strided_tensors(cli, came_out):
    values = changed(**{"v.blocks.0.norm2.weight": PLAIN["v.blocks.0.norm1.weight"]})
    qkv, fc1, pos = (PLAIN[name] for name in ("v.blocks.0.attn.qkv.weight", NAME, "v.pos_embed"))
    views = {
        **values,
        "v.blocks.0.attn.qkv.weight": qkv.t().contiguous().t(),
        NAME: torch.stack([fc1, -fc1], dim=-1)[..., 0],
        "v.pos_embed": torch.cat([pos, pos], dim=1)[:, pos.shape[1] :],
    }
    files, log, result = converted(cli, saved(views), "views")
    contiguous = converted(cli, saved({name: value.clone() for name, value in values.items()}), "contiguous")
    assert files == contiguous.files
    assert "note: non-contiguous tensors copied element by element: 2" in log
    assert "note: some tensors share storage; each is written in full" in log
    said = re.findall("note: (.*contiguous.*|.*share.*)", log)
    came_out(result, same_bytes_as_from_contiguous_tensors=files == contiguous.files, said=said)


def model(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.ones(1) for name in names}


@pytest.mark.fault(23, "a ViT, an AudioMAE, a CAV-MAE, an AST in the Hugging Face layout, a list of tensors")
def test_other_models(cli, came_out):
    vit = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight")
    for value, words in (
        ([torch.ones(1)], "contains a list, not a state dict"),
        (
            model("audio_spectrogram_transformer.embeddings.cls_token"),
            "an AST that is already in the Hugging Face layout",
        ),
        (
            model("module.modality_a", "module.blocks_a.0.norm1.weight", "module.decoder_embed.weight"),
            "a pretrained CAV-MAE",
        ),
        ({"model": model(*vit, "decoder_embed.weight", "mask_token")}, "such as AudioMAE"),
        (model(*vit, "head.weight"), "looks like a Vision Transformer"),
    ):
        result = refused(cli, saved(value))
        assert words in result.error_line
    came_out(result)


@pytest.mark.fault(23, "a ViT with an official variant selected")
def test_another_model_for_a_published_variant(cli):
    result = refused(cli, saved(model("cls_token", "blocks.0.attn.qkv.weight")), "model=ast_16_16")
    assert "looks like a Vision Transformer" in result.error_line
