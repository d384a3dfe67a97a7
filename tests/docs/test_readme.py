"""Run the README's snippets as they stand, and check its links and names."""

from __future__ import annotations

import asyncio
import importlib
import re
import subprocess
import time
from typing import Any

import httpx
import pytest
import restate
from starlette.applications import Starlette

from restate_identity.signing import RequestSigner
from tests.support import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


SIGNER = RequestSigner.generate()
WITH_RESTATE, AROUND_ANY_APP = snippets("python")


@pytest.fixture(autouse=True)
def _identity_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTATE_IDENTITY_KEYS", str(SIGNER.public_key))


def run(code: str, **names: Any) -> dict[str, Any]:
    namespace = dict(names)
    exec(code, namespace)
    return namespace


def get(app: Any, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async def request() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(request())


def test_the_restate_service_is_guarded() -> None:
    app = run(WITH_RESTATE, greeter=restate.Service("Greeter"))["app"]
    accept = {"accept": "application/vnd.restate.endpointmanifest.v4+json"}
    assert get(app, "/discover", accept).status_code == 401
    discovered = get(app, "/discover", {**accept, **SIGNER.headers("/discover")})
    assert [service["name"] for service in discovered.json()["services"]] == ["Greeter"]


def test_any_application_is_guarded() -> None:
    app = run(AROUND_ANY_APP, app=Starlette())["app"]
    path = "/invoke/Greeter/greet"
    assert get(app, path).status_code == 401
    assert get(app, path, SIGNER.headers(path)).status_code == 404


def test_every_example_uses_the_variable_that_the_library_reads() -> None:
    command = "git grep --files-with-matches --word-regexp RESTATE_IDENTITY_KEY -- *.md integrations docs"
    found = subprocess.run(command.split(), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    # Both explain the mistake.
    assert found.split() == ["CHANGELOG.md", "docs/command-line.md"]


def test_the_log_line_is_the_one_that_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    path = "/invoke/Greeter/greet"
    app = run(WITH_RESTATE, greeter=restate.Service("Greeter"))["app"]
    signed_at = int(time.time()) - 91
    get(app, path, SIGNER.headers(path, now=signed_at))
    since = time.time() - signed_at - 60
    [shown] = snippets("text")
    shown = re.sub(r"publickeyv1_\w+", str(SIGNER.public_key), shown)
    # Some seconds may pass between signing and verifying.
    pattern = re.escape(" ".join(shown.split())).replace("expired\\ 31", r"expired\ (\d+)")
    [seconds] = re.fullmatch(pattern, caplog.messages[0]).groups()  # type: ignore[union-attr]
    assert 31 <= int(seconds) <= round(since)


def test_every_name_that_is_shown_can_be_imported() -> None:
    names = re.findall(r"`(restate_identity\.\w+)\.(\w+)`", README)
    assert len(names) >= 4
    for module, name in names:
        assert getattr(importlib.import_module(module), name)


def test_every_link_within_the_repository_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).exists()] == []
