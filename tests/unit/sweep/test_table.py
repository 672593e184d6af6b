import csv

from ast2hf.sweep import table
from ast2hf.sweep.job import Job

JOBS = [
    Job(0, "ast-finetuned-audioset-10-10-0.448-v2", "passed", {"logits": (1e-5, 2e-5), "load": (None, None)}, 12.3,
        "/a/very/long/path/to/outputs/models/ast-finetuned-audioset-10-10-0.448-v2_checkpoint=best_audio_model.pth",
        overrides=["model=x", "checkpoint=checkpoints/of/an/experiment/best_audio_model.pth", "device=cpu"]),
    Job(5, "m", "failed", {"end_to_end": (None, 1e-3)}, error="e" * 300, number=1),
]  # fmt: skip


def test_the_terminal_shows_a_column_per_check_and_errors_and_folders_below(capsys):
    table.show(JOBS, [], None)
    out = capsys.readouterr().out
    inside, _, below = out.partition("job 0  ")
    below = "job 0  " + below
    assert all(len(line) <= 110 for line in inside.splitlines())
    assert "Sweep: 1 of 2 jobs passed" in inside
    for text in ("logits", "end to", "1.00e-05", "12.3", "device=cpu"):
        assert text in inside
    assert "load" not in inside
    assert "eee" not in inside
    assert f"job 0      folder: {JOBS[0].folder}" in below
    assert f"job 1      error: {'e' * 180}…\n" in below


def test_with_the_checks_of_a_proof_the_names_still_have_room(capsys):
    checks = ("features", "last_hidden_state", "pooled", "logits", "end_to_end")
    name = "ast-finetuned-audioset-16-16-0.442"
    table.show([Job(0, name, "passed", dict.fromkeys(checks, (1.23e-5, 2e-5)), 46.6)], [], None)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 110 for line in lines)
    assert any(name in line for line in lines), lines
    assert not any("overrides" in line for line in lines)


def test_a_narrow_terminal_shows_the_names_and_not_the_differences(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    checks = ("features", "last_hidden_state", "pooled", "logits", "end_to_end", "data_set")
    name = "ast-finetuned-audioset-16-16-0.442"
    table.show([Job(0, name, "passed", dict.fromkeys(checks, (1.23e-5, 2e-5)), 46.6)], [], None)
    out = capsys.readouterr().out
    assert name in out
    assert "features" not in out


def test_the_columns_of_the_file_follow_from_the_checks(tmp_path):
    path, _ = table.write(JOBS, tmp_path)
    with path.open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["logits"], first["logits tolerance"], first["end_to_end"]) == ("1.00e-05", "2e-05", "")
    assert (second["end_to_end"], second["end_to_end tolerance"], second["logits"]) == ("", "0.001", "")
    assert (first["folder"], first["error"]) == (JOBS[0].folder.rpartition("/")[2], "")  # the file leaves the machine
    assert second["error"] == "e" * 300


def test_the_page_escapes_what_comes_from_outside(tmp_path):
    job = Job(5, "m", "failed", error="<script>alert(1)</script>\x1b[31m")
    path, page = table.write([job], tmp_path)
    assert "<script>" not in page.read_text()
    assert "\x1b" not in path.read_text()
    assert "http" not in page.read_text()
