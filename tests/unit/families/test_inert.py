import pytest

from ast2hf.families import inert


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.melspectrogram.spec.window", "front end"),
        ("melspectrogram.mel_scale.fb", "front end"),
        ("model.mel_spectrogram.spectrogram.window", "front end"),
        ("model.spectrogram_extractor.stft.conv_real.weight", "front end"),
        ("model.logmel_extractor.melW", "front end"),
        ("criterion.pos_weight", "loss"),
        ("pos_weight", "loss"),
        ("loss_fn.weight", "loss"),
        ("train_loss.mean_value", "metric"),
        ("val_acc.tp", "metric"),
        ("metrics.val.MultilabelAveragePrecision.num.total", "metric"),
        ("test_confmat.confmat", "metric"),
        ("ema.n_averaged", "averaging"),
    ],
)
def test_tensors_known_to_be_inert(name, words):
    assert words in inert.reason(name, (7,))


@pytest.mark.parametrize(
    "name",
    [
        "classifier.0.weight",
        "domain_mlp_head.1.weight",
        "mlp_head.1.weight",
        "v.blocks.0.norm1.weight",
        "spectrogram_extractor",
        "frontend.conv.weight",
        "logmel_extractor.bn0.weight",
        "model.accent_head.weight",
        "n_averaged_heads.weight",
        "bn0.num_batches_tracked",
        "",
        "." * 10000,
    ],
)
def test_anything_else_is_for_the_user_to_decide(name):
    assert inert.reason(name, (7,)) is None


@pytest.mark.parametrize("name", ["criterion.weight", "loss_fn.weight", "class_weights"])
def test_a_matrix_beside_the_loss_may_be_the_trained_classifier(name):
    assert inert.reason(name, (50, 64)) is None
