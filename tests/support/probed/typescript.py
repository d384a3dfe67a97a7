"""The TypeScript SDK, installed once by npm into the cache of this repository."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support import ROOT

PINNED = Path(__file__).parent / "npm"
INSTALL = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]


def installed_service() -> Path:
    """Return the folder with ``service.mjs`` and the SDK that it needs."""
    content = b"".join(file.read_bytes() for file in sorted(PINNED.iterdir()))
    folder = ROOT / ".cache" / "typescript-sdk" / hashlib.sha256(content).hexdigest()[:16]
    if folder.is_dir():
        return folder
    npm = shutil.which("npm")
    assert npm is not None, "npm, which installs the TypeScript SDK, is not on the PATH: install Node.js"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="installing-", dir=folder.parent) as temporary:
        package = Path(temporary, "package")
        shutil.copytree(PINNED, package)
        done = subprocess.run([npm, *INSTALL], cwd=package, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"npm could not install the TypeScript SDK:\n{done.stdout}{done.stderr}"
        try:
            package.rename(folder)
        except OSError:
            assert folder.is_dir()  # another process was faster
    return folder
