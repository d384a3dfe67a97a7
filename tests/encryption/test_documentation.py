"""The snippets and commands of `docs/encryption.md`, with a real server."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import restate

from restate_identity.encryption import EncryptionReason, JournalEncryption, LocalKeys
from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.processes import PATH, free_port, ran
from tests.support.restate_server import RestateServer
from tests.support.servers import hypercorn, serve

PAGE = (ROOT / "docs" / "encryption.md").read_text("utf-8")


def block(language: str, beginning: str) -> str:
    """Return the only block of the page that begins so."""
    (found,) = (code for code in re.findall(rf"^ *```{language}\n(.*?)^ *```$", PAGE, re.M | re.S) if beginning in code)
    return dedent(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the keys, as the page has them made."""
    command = next(line for line in block("shell", "keygen --out").splitlines() if "keygen" in line)
    subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment(), check=True)
    return tmp_path


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": PATH}


def test_the_service_is_called_with_curl(folder: Path, restate_server: RestateServer, identity_pem: Path) -> None:
    (folder / "service.py").write_text(block("python", "@greeter.handler()"))
    keys = {"RESTATE_IDENTITY_KEYS": str(RequestSigner.from_pem(identity_pem).public_key)}
    with serve(*hypercorn("service:app"), cwd=folder, env=keys, patience=0.0) as server:
        restate_server.register(f"http://127.0.0.1:{server.port}").raise_for_status()
        service = httpx.get(f"{restate_server.admin_url}/services/Greeter", trust_env=False).json()
        command = block("shell", "Greeter/greet").replace("127.0.0.1:8080", urlsplit(restate_server.ingress_url).netloc)
        called = ran("bash", "-c", command, cwd=folder, env=environment())
    assert called.stdout.strip() == '"Hello Ada"', called.stderr
    # 63 of the 70 pauses take a minute.
    assert "70 times, about an hour" in PAGE
    assert (service["retry_policy"]["max_attempts"], service["retry_policy"]["max_interval"]) == (70, "1m")
    assert service["retry_policy"]["on_max_attempts"] == "Pause"


def test_the_codec_server_is_called_with_curl(folder: Path) -> None:
    port = str(free_port())
    command = block("shell", "encryption serve").replace(
        "encryption serve", f"encryption serve --listen 127.0.0.1:{port}"
    )
    # A reader's server goes on; this one ends with the test.
    command = f"trap 'kill $!' EXIT; {command.replace('127.0.0.1:9002', f'127.0.0.1:{port}')}"
    done = ran("bash", "-c", command, cwd=folder, env=environment())
    assert (done.returncode, done.stdout) == (0, '"Ada"\n'), done.stderr
    assert (folder / "token.txt").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("beginning", ["accounts = restate.Service", "class Payment", "class Vault"])
def test_the_other_snippets_run(beginning: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", block("python", beginning)], cwd=folder, check=True)


def test_the_table_has_every_reason() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.split("### The reasons")[1].split("\n## ")[0], re.M)
    assert rows == [str(reason) for reason in EncryptionReason]


async def test_the_codec_that_only_reads_takes_both_and_writes_plaintext_in_a_guarded_service(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RESTATE_IDENTITY_KEYS", str(RequestSigner.generate().public_key))
    names: dict[str, Any] = {
        "later": datetime.now(timezone.utc) + timedelta(days=1),
        "greeter": restate.Service("Greeter"),
    }
    snippet = block("python", "class ReadsOnly").replace("datetime(2027, 3, 1, tzinfo=timezone.utc)", "later")
    await asyncio.to_thread(exec, snippet, names)
    another = await JournalEncryption.create(LocalKeys("journal-keys.txt"))
    assert [await names["reading"].decode(value) for value in (b"value", another.encode(b"value"))] == [b"value"] * 2
    assert names["reading"].encode(b"value") == b"value"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(names["app"]), base_url="http://service") as client:
        assert (await client.get("/discover")).status_code == 401
