"""Install the npm package `pyodide` once, and run a program of this folder in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import base58

from tests.support import ROOT

PINNED = Path(__file__).parent
TIMEOUT = 300


class PyodideUnavailable(Exception):  # noqa: N818 (a state of the machine, not an error of ours)
    """Pyodide cannot be run here. The message says why."""


def run_in_pyodide(program: Path) -> str:
    """Return what *program* prints. It finds this repository in `/repository`; of all packages there is only base58.

    Raises:
        PyodideUnavailable: There is no Node, or no npm to install Pyodide with.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise PyodideUnavailable("Pyodide runs under Node and is installed by npm, and they are not on the PATH")
    with tempfile.TemporaryDirectory(prefix="packages-") as packages:
        shutil.copytree(Path(base58.__file__).parent, Path(packages, "base58"))
        command = [node, str(PINNED / "run.mjs"), str(_installed(npm)), str(ROOT), packages, str(program)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=TIMEOUT, check=False)
    if done.returncode != 0:
        # The first lines are Pyodide's own code.
        raise RuntimeError(done.stderr[-3000:])
    return done.stdout


def _installed(npm: str) -> Path:
    cache = Path(os.environ.get("PYODIDE_CACHE") or ROOT / ".cache" / "pyodide").absolute()
    lock = PINNED / "package-lock.json"
    # Each lock has its own folder. A folder with its final name is complete, because it is renamed at the end.
    folder = cache / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="installing-", dir=cache) as temporary:
            package = Path(temporary, "package")
            package.mkdir()
            for file in ("package.json", "package-lock.json"):
                shutil.copy(PINNED / file, package)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=package, capture_output=True, encoding="utf-8", timeout=600, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"npm could not install Pyodide: {done.stderr[-1000:]}")
            try:
                package.rename(folder)
            except OSError:
                # Another process was faster; its folder is as good.
                if not folder.is_dir():
                    raise
    return folder / "node_modules" / "pyodide"
