import pytest
from conftest import compose

from ast2hf.tracking.params import params


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("checkpoint=/home/alice/secret/best.pth", "best.pth"),
        ("checkpoint=secret/best.pth", "best.pth"),
        ("checkpoint='~/secret/best.pth'", "best.pth"),
        ("checkpoint='C:\\secret\\best.pth'", "best.pth"),
        ("checkpoint='/my secret/best one.pth'", "best one.pth"),
        ("checkpoint=synthetic:3", "synthetic:3"),
        ("checkpoint='https://me:pw@host/a.pth?token=x'", "https://host/a.pth?…"),
        ("labels=secret/labels.csv", "labels.csv"),
        ("audio=secret/clip.wav", "clip.wav"),
        ("audio=packaged", "packaged"),
        ("output_dir=/secret/models/mine", "mine"),
        ("paths.cache=secret/cache", "cache"),
        ("tracking.uri=secret/mlruns", "mlruns"),
        ("tracking.uri=sqlite:////home/secret/mlflow.db", "sqlite:///mlflow.db"),
        ("tracking.uri=file:///home/secret/mlruns", "file:///mlruns"),
        ("tracking.uri=http://host:5000", "http://host:5000"),
        ("hub.commit_message='from /home/secret/x'", "from x"),
        ("hub.repo_id=me/model", "me/model"),
    ],
)
def test_no_path_of_the_machine_and_no_secret(override, expected):
    found = params(compose("model=custom", override))
    assert found[override.partition("=")[0]] == expected


def test_nothing_of_a_usual_run_names_a_folder_above(tmp_path):
    found = params(compose(f"paths.outputs={tmp_path / 'outputs'}"))
    assert [value for value in found.values() if str(tmp_path) in value] == []
    assert found["tracking.uri"] == "sqlite:///mlflow.db"
    assert found["model.url"].startswith("https://")


def test_sizes_that_are_left_open_are_those_of_the_model():
    sizes = {"hidden_size": 768, "patch_size": 8}
    found = params(compose("model=custom", "model.patch_size=16"), sizes)
    assert (found["model.hidden_size"], found["model.num_labels"]) == ("768", "None")
    assert found["model.patch_size"] == "16", "what was said is recorded as it was said"
    assert params(compose("model=custom", "model.hidden_size=192"), sizes)["model.hidden_size"] == "192"
