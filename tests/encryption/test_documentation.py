"""The snippets and commands of `docs/encryption.md`, with a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.restate_server import RestateServer
from tests.support.servers import hypercorn, serve

PAGE = (ROOT / "docs" / "encryption.md").read_text("utf-8")


def block(language: str, beginning: str) -> str:
    """Return the only block of the page that begins so."""
    (found,) = (code for code in re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S) if beginning in code)
    return str(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the keys, as the page has them made."""
    command = next(line for line in block("shell", "keygen --out").splitlines() if "keygen" in line)
    subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment(), check=True)
    return tmp_path


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": os.pathsep.join((os.fspath(Path(sys.executable).parent), os.environ["PATH"]))}


def test_the_service_is_called_with_curl(folder: Path, restate_server: RestateServer, identity_pem: Path) -> None:
    (folder / "service.py").write_text(block("python", "@greeter.handler()"))
    keys = {"RESTATE_IDENTITY_KEYS": str(RequestSigner.from_pem(identity_pem).public_key)}
    with serve(*hypercorn("service:app"), cwd=folder, env=keys, patience=0.0) as server:
        restate_server.register(f"http://127.0.0.1:{server.port}").raise_for_status()
        command = block("shell", "curl").replace("127.0.0.1:8080", urlsplit(restate_server.ingress_url).netloc)
        called = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment(), capture_output=True, text=True, check=False
        )
    assert called.stdout.strip() == '"Hello Ada"', called.stderr


@pytest.mark.parametrize("beginning", ["accounts = restate.Service", "class Vault", "accept_plaintext_until="])
def test_the_other_snippets_run(beginning: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", block("python", beginning)], cwd=folder, check=True)
