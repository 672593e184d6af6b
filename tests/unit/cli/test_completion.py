"""What the shell completes after ``eval "$(ast2hf --shell-completion install=bash)"``."""

import os
import shutil
import subprocess
import sys

import pytest
from support import ROOT

COMPLETE = """
eval "$(ast2hf --shell-completion install=bash)"
COMP_LINE='{line}'; COMP_POINT={point}; COMP_CWORD=1
hydra_bash_completion
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_the_shell_completes_choices_of_the_console_script(tmp_path):
    script = tmp_path / "ast2hf"  # as pip writes it
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom ast2hf.cli.main import main\nsys.exit(main())\n")
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
    line = "ast2hf model=ast_1"
    code = COMPLETE.format(line=line, point=len(line))
    done = subprocess.run(["bash", "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    choices = (path.stem for path in (ROOT / "conf" / "model").glob("ast_1*.yaml"))
    assert sorted(done.stdout.split()) == sorted(f"model={choice}" for choice in choices)
