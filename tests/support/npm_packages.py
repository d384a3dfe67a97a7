"""Install packages of npm once, in the versions of a lock, below the cache of this repository."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support import ROOT
from tests.support.processes import last_lines, started

TIMEOUT = 900


class NpmUnavailable(Exception):  # noqa: N818 (a state of the machine, not an error of ours)
    """npm is missing, or could not install. The message says which, and what to do."""


def installed(
    pinned: Path, what: str, *, cache: Path | None = None, report: Callable[[str], None] = lambda _: None
) -> Path:
    """Return a copy of the folder *pinned*, with the packages of its lock in `node_modules`; make it if there is none.

    Args:
        what: The name of the packages for messages.
        cache: The folder that holds it, by default one in `.cache` with the name of *pinned*.
        report: Called with a message before a slow step.

    Raises:
        NpmUnavailable: It cannot be made.
    """
    cache = cache or ROOT / ".cache" / "npm"
    files = sorted(file for file in pinned.iterdir() if file.suffix in (".json", ".mjs"))
    # The lock says what is in package.json, too.
    content = b"".join(file.read_bytes() for file in files if file.name != "package.json")
    # Each content has its own folder. A folder with its final name is complete, because it is renamed at the end.
    folder = cache.absolute() / hashlib.sha256(content).hexdigest()[:16]
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="installing-", dir=cache) as temporary:
            package = Path(temporary, "package")
            package.mkdir()
            for file in files:
                shutil.copy(file, package)
            _install(package, what, report)
            try:
                package.rename(folder)
            except OSError:
                # Another process was faster; its folder is as good.
                if not folder.is_dir():
                    raise
    return folder


def _install(package: Path, what: str, report: Callable[[str], None]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NpmUnavailable(
            f"{what} is not installed, and npm, which installs it, is not on the PATH. "
            f"Install Node.js, which brings npm, and run this again."
        )
    report(f"Installing {what} with npm, once ...")
    log = package / "npm.log"
    with started([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], log=log, cwd=package) as child:
        for seconds in range(10, TIMEOUT + 1, 10):
            try:
                child.wait(10)
                break
            except subprocess.TimeoutExpired:
                report(f"  ... still installing after {seconds} s")
    if child.returncode != 0:
        raise NpmUnavailable(
            f"npm could not install {what} (status {child.returncode}):\n{last_lines(log)}\n"
            f"Check that npm can reach its registry, and run this again."
        )
