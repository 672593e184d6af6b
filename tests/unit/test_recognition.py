"""What a checkpoint is: recognised, asked about or refused, and never one thing for another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_checkpoints import FakeCheckpoint, ast_shapes, exactly, family_file, family_shapes, prefixed

from ast2hf.config import Config, Variant
from ast2hf.errors import ConfigurationError, InputError, QuestionError
from ast2hf.matches import UNTRAINED
from ast2hf.recognition import recognise, require_head

AST = ast_shapes()
ZERO = {"v.head.bias": 0}
UNTRAINED_HEAD = {"mlp_head.0.weight": 1, "mlp_head.0.bias": 0}
HEAD = {"0.weight": (192,), "0.bias": (192,), "1.weight": (7, 192), "1.bias": (7,)}
PASST = family_shapes("passt_s10")


def look(checkpoint, *, key=None, prefix=None, **said):
    config = Config(model=Variant(name="custom", **said), checkpoint_key=key, checkpoint_prefix=prefix)
    return recognise(checkpoint, config, config.model)


def alone(shapes, **values):
    return FakeCheckpoint({(): shapes}, values)


def what(found):
    return (found.match.family.name, found.match.pooling)


def overrides(found):
    return [choice.override for choice in found.question.choices]


ALL_THREE = [
    "model.family=ssast model.pooling=mean",
    "model.family=ast model.pooling=cls",
    "model.family=ssast model.pooling=cls",
]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("ssast_patch_finetuned", ALL_THREE),
        ("ssast_frame_finetuned", ["model.pooling=mean", "model.pooling=cls"]),
        ("ssast_patch_pretrained", ("ssast", "mean")),
        ("ssast_frame_pretrained", ("ssast_frame", "mean")),
        ("passt_s10", ("passt", "cls")),
        ("maest_10s", ("maest", "cls")),
        ("patchmix", ("patchmix", "cls")),
        ("ast_no_distillation", "an AST without distillation token"),
        ("ast_tiny_ln_dropout_linear", ("ast", "cls")),
        ("ast_small_f12_t16", ("ast", "cls")),
    ],
)
def test_each_family_file_is_recognised_asked_about_or_refused(key, expected):
    """No row of the table of families ends as another one."""
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            look(family_file(key))
        return
    found = look(family_file(key))
    assert (what(found) if isinstance(expected, tuple) else overrides(found)) == expected


# What v.head.bias says


def test_an_imagenet_start_is_an_ast():
    found = look(alone(AST))
    assert what(found) == ("ast", "cls")
    assert found.question is None
    assert "v.head.bias is not zero" in found.evidence[0]


def test_zeros_are_asked_about_with_the_evidence_and_ssast_first():
    found = look(alone(AST, **ZERO))
    assert overrides(found) == ALL_THREE
    assert "v.head.bias is all zeros" in found.question.open
    with pytest.raises(QuestionError):
        _ = found.match


def test_without_the_imagenet_head_it_is_asked_about_too():
    shapes = {name: shape for name, shape in AST.items() if "v.head" not in name}
    found = look(alone(shapes))
    assert sorted(overrides(found)) == sorted(ALL_THREE)
    assert found.evidence == ()


def test_a_classifier_of_another_size_is_no_evidence_of_imagenet():
    shapes = {**AST, "v.head.weight": (50, 192), "v.head.bias": (50,)}
    assert sorted(overrides(look(alone(shapes)))) == sorted(ALL_THREE)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"family": "ast"}, ("ast", "cls")),
        ({"family": "ssast", "pooling": "mean"}, ("ssast", "mean")),
        ({"family": "ssast", "pooling": "cls"}, ("ssast", "cls")),
        ({"pooling": "cls"}, ("ast", "cls")),
        ({"pooling": "mean"}, ("ssast", "mean")),
    ],
)
def test_each_answer_settles_it(said, expected):
    assert what(look(alone(AST, **ZERO), **said)) == expected


def test_every_answer_that_is_offered_settles_it():
    for override in ALL_THREE:
        said = dict(word.removeprefix("model.").split("=") for word in override.split())
        assert look(alone(AST, **ZERO), **said).question is None


def test_half_an_answer_is_asked_about_again():
    assert overrides(look(alone(AST, **ZERO), family="ssast")) == ["model.pooling=mean", "model.pooling=cls"]


def test_a_published_variant_does_not_answer_it():
    """Its settings say no family: the file of another training may be given for it."""
    variant = {"frequency_stride": 16, "time_stride": 16, "max_length": 1024, "num_labels": 527}
    assert look(alone(AST, **ZERO), **variant).question is not None


# Contradictions


@pytest.mark.parametrize(
    ("shapes", "said", "words"),
    [
        (AST, {"family": "passt"}, "model.family=passt means PaSST, but the checkpoint's tensors are those of Audio"),
        (PASST, {"family": "ast"}, "model.family=ast means Audio Spectrogram Transformer, .* those of PaSST"),
        (PASST, {"pooling": "mean"}, "model.pooling=mean does not fit the checkpoint's family: PaSST"),
        (AST, {"family": "ast", "pooling": "mean"}, "model.pooling=mean does not fit"),
        (AST, {"family": "patchmix"}, "model.family=patchmix means Patch-Mix"),
        (AST, {"family": "ssast_frame"}, r"model.family=ssast_frame means SSAST \(frame patches\)"),
    ],
)
def test_contradictions_are_refused_naming_both_sides(shapes, said, words):
    with pytest.raises(InputError, match=words):
        look(alone(shapes), **said)


# Heads


def test_an_untrained_head_is_not_a_classifier():
    match = look(alone(AST, **UNTRAINED_HEAD)).match
    with pytest.raises(InputError, match=f"{UNTRAINED}: its layer norm mlp_head.0 is exactly ones and zeros") as caught:
        require_head(match)
    assert "model.head=none" in caught.value.remedy


def test_a_trained_head_is_one():
    require_head(look(alone(AST)).match)
    require_head(look(alone(AST, **{"mlp_head.0.weight": 1})).match)


def test_the_classifier_beside_the_model_is_used_if_its_own_is_untrained():
    checkpoint = FakeCheckpoint({("model",): prefixed("module.", AST), ("classifier",): HEAD}, untrained("module."))
    found = look(checkpoint)
    assert what(found) == ("patchmix", "cls")
    require_head(found.match)
    assert "classifier.1.weight" in found.match.state_dict.tensors
    assert any(UNTRAINED in sentence for sentence in found.evidence)


def untrained(prefix):
    return {prefix + name: value for name, value in UNTRAINED_HEAD.items()}


@pytest.mark.parametrize("model", [(), ("model",), ("a", "b")])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_one_of_another_name_is_asked_about_since_a_projection_has_the_same_shapes(model, prefix):
    beside = (*model[:-1], "projector") if model else None
    mappings = {model: AST} | ({beside: prefixed(prefix, HEAD)} if beside else {})
    checkpoint = FakeCheckpoint(mappings, UNTRAINED_HEAD)
    found = look(checkpoint)
    if beside is None:
        assert found.match.family.name == "ast"
        return
    assert overrides(found) == ["model.family=ast", "model.family=patchmix"]
    assert any(f"{UNTRAINED} in the model; " in e and "projector has the shapes of one" in e for e in found.evidence)
    assert what(look(checkpoint, family="patchmix")) == ("patchmix", "cls")


@pytest.mark.parametrize("values", [{}, UNTRAINED_HEAD])
def test_several_heads_beside_the_model_are_refused_unless_one_is_named_so(values):
    heads = {("first",): HEAD, ("second",): HEAD}
    with pytest.raises(InputError, match=r"could be its classifier \(first, second\)"):
        look(FakeCheckpoint({("model",): AST, **heads}, values))
    assert what(look(FakeCheckpoint({("model",): AST, **heads}, values), family="ast")) == ("ast", "cls")
    named = FakeCheckpoint({("model",): AST, **heads, ("classifier",): HEAD}, UNTRAINED_HEAD)
    assert look(named).match.place.head.keys == ("classifier",)


NARROW = {"0.weight": (64,), "0.bias": (64,), "1.weight": (7, 64), "1.bias": (7,)}


@pytest.mark.parametrize("head", [NARROW, {**HEAD, "2.x": (1,)}])
def test_a_head_of_other_shapes_is_not_taken(head):
    checkpoint = FakeCheckpoint({("model",): AST, ("classifier",): head}, UNTRAINED_HEAD)
    assert look(checkpoint).match.family.name == "ast"


def test_two_trained_heads_are_asked_about():
    found = look(FakeCheckpoint({("model",): AST, ("classifier",): HEAD}))
    assert overrides(found) == ["model.family=ast", "model.family=patchmix"]


def test_a_patch_mix_without_an_imagenet_start_may_average_too():
    values = {**UNTRAINED_HEAD, **ZERO}
    found = look(FakeCheckpoint({("model",): AST, ("classifier",): HEAD}, values))
    assert overrides(found) == ["model.family=ssast model.pooling=mean", "model.family=patchmix model.pooling=cls"]


def test_a_second_trained_classifier_in_the_state_dict_is_ambiguous():
    shapes = AST | {f"classifier.{name}": shape for name, shape in HEAD.items()}
    assert overrides(look(alone(shapes))) == ["model.family=ast", "model.family=patchmix"]
    assert what(look(alone(shapes), family="ast")) == ("ast", "cls")
    assert what(look(alone(shapes, **UNTRAINED_HEAD))) == ("patchmix", "cls")


@pytest.mark.parametrize(
    ("key", "said", "words"),
    [
        ("ssast_patch_finetuned", {"family": "ssast", "pooling": "mean"}, "the model averages the patches"),
        ("ssast_frame_finetuned", {"pooling": "mean"}, "the model averages the patches"),
        ("ssast_patch_pretrained", {}, "comes from pretraining and has no classifier"),
    ],
)
def test_a_classifier_that_cannot_be_is_refused_with_the_encoder_as_remedy(key, said, words):
    match = look(family_file(key), **said).match
    with pytest.raises(InputError, match=words) as caught:
        require_head(match)
    assert "model.head=none" in caught.value.remedy


# Which state dict


def test_the_trained_and_the_averaged_model_are_asked_about():
    shapes = prefixed("net.", PASST) | prefixed("net_swa.", PASST)
    checkpoint = FakeCheckpoint({("state_dict",): shapes})
    found = look(checkpoint)
    assert overrides(found) == ["checkpoint_prefix=net_swa.", "checkpoint_prefix=net."]
    assert found.question.choices[0].evidence == "its name suggests an average over the training"
    chosen = look(checkpoint, prefix="net.")
    assert chosen.match.place.prefix == "net."
    assert [place.prefix for place in chosen.others] == ["net_swa."]


def test_two_state_dicts_are_asked_about_by_their_keys():
    checkpoint = FakeCheckpoint({("state_dict",): AST, ("state_dict_ema",): AST})
    assert overrides(look(checkpoint)) == ["checkpoint_key=state_dict_ema", "checkpoint_key=state_dict"]
    assert look(checkpoint, key="state_dict").match.place.key == "state_dict"


def test_key_and_prefix_are_both_named_where_both_are_needed():
    checkpoint = FakeCheckpoint({("a",): prefixed("x.", AST) | prefixed("y.", AST), ("b", "c"): AST})
    assert overrides(look(checkpoint)) == [
        "checkpoint_key=a checkpoint_prefix=x.", "checkpoint_key=a checkpoint_prefix=y.", "checkpoint_key=b/c",
    ]  # fmt: skip
    assert look(checkpoint, key="b/c").question is None
    assert look(checkpoint, key="a", prefix="y.").question is None


def test_aliases_of_the_same_bytes_raise_no_question():
    checkpoint = FakeCheckpoint({("model",): AST, ("state_dict",): AST}, shared=True)
    assert look(checkpoint).match.place.key == "model"


@pytest.mark.parametrize(
    ("said", "words"),
    [({"key": "ema"}, "no model under checkpoint_key=ema"), ({"prefix": "b."}, "no model under checkpoint_prefix=b.")],
)
def test_a_place_where_no_model_is_is_refused_with_those_where_there_is_one(said, words):
    with pytest.raises(InputError, match=words) as caught:
        look(FakeCheckpoint({("state_dict",): prefixed("a.", AST)}), **said)
    assert "'state_dict'" in caught.value.remedy or "'a.'" in caught.value.remedy


def test_a_family_set_by_the_user_excludes_the_others():
    checkpoint = FakeCheckpoint({("model",): AST, ("teacher",): PASST})
    assert len(overrides(look(checkpoint))) == 2
    assert what(look(checkpoint, family="passt")) == ("passt", "cls")


def test_an_optimizer_and_a_model_in_one_file_is_the_model():
    checkpoint = FakeCheckpoint({("model",): AST, ("optimizer", "state", 0): {"step": (), "exp_avg": (3, 3)}})
    assert what(look(checkpoint)) == ("ast", "cls")


def test_an_optimizer_alone_is_refused_as_one():
    with pytest.raises(InputError, match="the checkpoint is the state of an optimizer"):
        look(FakeCheckpoint({("state", 0): {"step": (), "exp_avg": (3, 3)}, ("state", 1): {"exp_avg_sq": (3,)}}))


def test_thousands_of_models_in_one_file_are_refused():
    shapes = {f"m{i}.v.cls_token": (1, 1, 4) for i in range(5000)}
    with pytest.raises(InputError, match="has 64 or more models"):
        look(alone(shapes))


def test_many_models_in_many_places_of_one_file_are_refused():
    checkpoint = FakeCheckpoint({("models", i): AST for i in range(100)})
    with pytest.raises(InputError, match="has 64 or more models"):
        look(checkpoint)


@pytest.mark.parametrize("keys", [((1,), ("1",)), ((), ("/",)), (("a", "b"), ("a/b",))])
def test_two_models_that_no_answer_tells_apart_are_refused(keys):
    with pytest.raises(InputError, match="holds two models with the same name"):
        look(FakeCheckpoint(dict(zip(keys, (AST, PASST), strict=True))))


def test_a_model_that_lacks_a_tensor_is_refused_as_a_changed_one():
    with pytest.raises(InputError, match="looks like a modified Audio Spectrogram Transformer"):
        look(alone({name: shape for name, shape in AST.items() if name != "v.pos_embed"}))


def test_a_question_is_an_error_of_the_configuration_with_its_candidates():
    with pytest.raises(ConfigurationError) as caught:
        _ = look(alone(AST, **ZERO)).match
    error = caught.value
    assert error.exit_code == 2
    assert "\n" not in str(error)
    first, *answers = error.lines()
    assert first.endswith("; add one of:")
    assert [answer.split(":")[0].strip() for answer in answers] == ALL_THREE


def test_nine_rows_are_ambiguous_unless_mel_bins_are_set():
    shapes = {**family_shapes("maest_10s"), "head.1.weight": (7, 192), "head.1.bias": (7,)}
    assert overrides(look(alone(shapes))) == ["model.family=passt", "model.family=maest"]
    assert what(look(alone(shapes), num_mel_bins=96)) == ("maest", "cls")
    assert what(look(alone(shapes), num_mel_bins=128)) == ("passt", "cls")


# Any wrapper, any prefix, any size

NAMES = st.lists(st.sampled_from(["module", "model", "net", "_orig_mod", "ast", "backbone", "encoder_q"]), max_size=3)


@given(
    keys=st.lists(st.sampled_from(["state_dict", "model", "ema", "x"]), max_size=2).map(tuple),
    names=NAMES,
    width=st.sampled_from([64, 192, 384, 768]),
    layers=st.integers(1, 3),
    patches=st.integers(1, 2000),
    labels=st.integers(1, 5),
    beside=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_an_ast_is_found_in_any_wrapper_behind_any_prefix(keys, names, width, layers, patches, labels, beside):
    prefix = "".join(name + "." for name in names)
    shapes = prefixed(prefix, ast_shapes(width, layers, patches, labels))
    others = {("optimizer", "state", 0): {"exp_avg": (3,)}} if beside else {}
    found = look(FakeCheckpoint({keys: {"loss.pos_weight": (labels,), **shapes}, **others}))
    assert what(found) == ("ast", "cls")
    assert (found.match.place.prefix, found.match.place.candidate.keys) == (prefix, keys)
    assert look(FakeCheckpoint({keys: shapes}, {prefix + "v.head.bias": 0})).question is not None


def test_the_constants_of_the_family_files_are_those_of_the_golden_figures():
    assert exactly("ssast_patch_finetuned")["module.v.head.bias"] == 0
    assert exactly("patchmix") == UNTRAINED_HEAD
