"""Install the npm package `pyodide` once, and run a program of this folder in it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import base58

from tests.support import ROOT
from tests.support.npm_packages import installed

PINNED = Path(__file__).parent
TIMEOUT = 300


class PyodideUnavailable(Exception):  # noqa: N818 (a state of the machine, not an error of ours)
    """Pyodide cannot be run here. The message says why."""


def run_in_pyodide(program: Path) -> str:
    """Return what *program* prints. It finds this repository in `/repository`; of all packages there is only base58.

    Raises:
        PyodideUnavailable: There is no Node, or no npm to install Pyodide with.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        raise PyodideUnavailable("Pyodide runs under Node and is installed by npm, and they are not on the PATH")
    pyodide = installed(PINNED, "Pyodide") / "node_modules" / "pyodide"
    with tempfile.TemporaryDirectory(prefix="packages-") as packages:
        shutil.copytree(Path(base58.__file__).parent, Path(packages, "base58"))
        command = ["node", str(PINNED / "run.mjs"), str(pyodide), str(ROOT), packages, str(program)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=TIMEOUT, check=False)
    if done.returncode != 0:
        # The first lines are Pyodide's own code.
        raise RuntimeError(done.stderr[-3000:])
    return done.stdout
