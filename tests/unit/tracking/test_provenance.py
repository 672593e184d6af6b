import subprocess

from support import ROOT

from ast2hf.tracking import provenance


def test_of_a_clone_its_commit(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    found = provenance.commit(tmp_path)
    assert found is not None
    assert len(found) == 40


def test_elsewhere_none(tmp_path):
    """Also where somebody else's repository lies above, and where git fails."""
    assert provenance.commit(ROOT / "src") is None
    (tmp_path / ".git").mkdir()
    assert provenance.commit(tmp_path) is None


def test_without_git(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit(tmp_path) is None
