"""README and site promise what is tested, and nothing that does not exist."""

from __future__ import annotations

import ast
import re

import yaml
from conftest import ROOT, VARIANTS
from support.fault_table import CASES

from ast2hf.families import FAMILIES
from ast2hf.proof import checks
from ast2hf.settings import GROUPS, keys

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
PROOF = PAGES["proof.md"]
MODULES = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
"""In the order in which pytest runs them."""


def calls(name):
    """All calls of a function or mark of this name in the tests."""
    found = [node for module in MODULES for node in ast.walk(module) if isinstance(node, ast.Call)]
    return [call for call in found if name == getattr(call.func, "attr", getattr(call.func, "id", None))]


def column(text, number):
    """The cells of a column of the tables in ``text``."""
    rows = [line.strip("|").split(" |") for line in text.splitlines() if line.startswith("| ")]
    return [row[number].strip() for row in rows if len(row) > number]


def test_the_readme_is_a_front_door():
    assert len(README.splitlines()) <= 120


def test_the_readme_shows_all_checks_and_says_of_some_that_they_were_not_made():
    titles = [made.title for made in checks.none_reached().values()]
    assert [cell for cell in column(README, 0) if cell in titles] == titles
    (published,) = [line for line in README.splitlines() if line.startswith("| published logits")]
    assert published.endswith("| not checked |")


def test_the_page_of_the_proof_has_all_checks_and_their_tolerances():
    named = [f"`{name}`" for name in checks.none_reached()]
    assert [cell for cell in column(PROOF, 1) if cell in named] == named
    kept = yaml.safe_load((ROOT / "conf" / "verify" / "default.yaml").read_text(encoding="utf-8"))["tolerances"]
    for name, devices in kept.items():
        (row,) = re.findall(rf"(?m)^\| `{name}` \| (\d.*?) \| (\d.*?) \|", PROOF)
        assert row == tuple(shown(devices[device]) for device in ("cpu", "cuda")), name
        assert devices["cuda"] == devices["mps"]


def shown(bounds):
    rtol = f" + {bounds['rtol']:.1e} of the value" if "rtol" in bounds else ""
    return f"{bounds['atol']:.1e}{rtol}".replace(".0e", "e").replace("e-0", "e-")


def test_the_pages_have_all_variants_and_families():
    assert [v for v in VARIANTS if f"`{v}`" not in PAGES["getting-started.md"]] == []
    assert [f for f in FAMILIES if f"`{f}`" not in PAGES["families.md"]] == []


def test_the_example_of_a_variant_is_the_file():
    (shown,) = re.findall(r"(?s)```yaml\n(.*?)```", PAGES["extending.md"])
    assert shown == (ROOT / "conf" / "model" / "ast_16_16.yaml").read_text(encoding="utf-8")


def test_the_settings_that_pages_name_exist():
    of_hydra = {"hydra.launcher.n_jobs", "hydra.launcher.partition"}
    of_torch_and_passt = {"strict", "elementwise_affine", "distilled"}
    known = {*keys(), *GROUPS, *of_hydra, *of_torch_and_passt}
    for name, text in {"README.md": README, **PAGES}.items():
        if name != "faults.md":
            found = set(re.findall(r"[` ']([a-z_]+(?:\.[a-z_]+)*)=[^=\s`]*`", text))
            assert {key for key in found if key not in known and not key.startswith("verify.tolerances.")} == set(), (
                name
            )


def test_the_extras_that_pages_name_exist():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = {extra for text in (README, *PAGES.values()) for extra in re.findall(r"ast2hf\[(\w+)\]", text)}
    assert named == {"joblib", "slurm", "ray"}
    assert all(f"\n{extra} = [" in project for extra in named)


def test_the_table_of_faults_has_the_cases_of_the_tests_in_their_words():
    tested = {}
    for mark in calls("fault"):
        if isinstance(mark.func, ast.Attribute):  # pytest.mark.fault
            number, done = (argument.value for argument in mark.args)
            tested.setdefault(number, done)
    rows = {int(number): done for number, done in re.findall(r"(?m)^\| (\d+) \| (.*?) \|", PAGES["faults.md"])}
    assert rows == tested
    assert list(rows) == list(CASES)


def is_measured(value):
    """No text of the test's own: its literals, and the words between the values of an f-string."""
    parts = value.values if isinstance(value, ast.JoinedStr) else [value]
    return not any(isinstance(part, ast.Constant) for part in parts)


def test_no_test_writes_itself_what_came_out():
    told = [call for call in calls("came_out") if call.args or call.keywords]
    assert len(told) > len(CASES)
    for call in told:
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        assert all(map(is_measured, values)), ast.unparse(call)


def test_contributors_learn_of_every_command_of_make():
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    assert [target for target in targets if f"make {target}" not in contributing] == ["clean"]


def test_every_page_is_in_the_site():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in PAGES if name not in nav] == []
