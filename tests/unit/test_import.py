import subprocess
import sys

from support import ROOT

CODE = """
import gc, logging, os, signal, sys, warnings
def state():
    return (
        list(sys.meta_path), list(sys.path_hooks), dict(os.environ), logging.raiseExceptions, gc.isenabled(),
        signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.excepthook, sys.unraisablehook,
        list(warnings.filters),
    )
before = state()
import ast2hf
assert state() == before
"""


def test_importing_the_package_changes_nothing():
    # Without site: a start-up hook of the environment must not hide what the import does.
    done = subprocess.run(
        [sys.executable, "-S", "-c", CODE], env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
