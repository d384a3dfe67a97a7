"""``integrations/starlette_any_app``: its WebSocket, and its caller. `test_stock` tries the rest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import (
    INTEGRATIONS,
    Launcher,
    Served,
    forgeries,
)

WATCH = "/invoke/Stock/watch"


@pytest.fixture(scope="module")
def served(launch: Launcher) -> Served:
    return launch("starlette_any_app", lambda port: ["uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(port)])


def watch(served: Served, headers: dict[str, str]) -> object:
    url = f"{served.url.replace('http', 'ws', 1)}{WATCH}"
    with connect(url, additional_headers=headers, open_timeout=30, proxy=None) as websocket:
        return json.loads(websocket.recv(timeout=30))


def test_a_signed_websocket_handshake_is_accepted(served: Served, signer: RequestSigner) -> None:
    assert "tea" in str(watch(served, signer.headers(WATCH)))
    assert served.has_printed(f"watched by {signer.public_key}")


def test_a_websocket_handshake_that_the_owner_did_not_sign_is_refused(served: Served, signer: RequestSigner) -> None:
    before = served.log.read_text().count("watched by")
    for headers in forgeries(signer, WATCH).values():
        with pytest.raises(InvalidStatus) as refusal:
            watch(served, headers)
        assert refusal.value.response.status_code == 401
    watch(served, signer.headers(WATCH))
    assert served.log.read_text().count("watched by") == before + 1


def test_the_caller_of_the_readme_signs_its_request(
    served: Served, identity_pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (INTEGRATIONS / "starlette_any_app" / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    (tmp_path / "private.pem").write_bytes(identity_pem.read_bytes())
    monkeypatch.chdir(tmp_path)
    # The proxy in the environment is for remote hosts.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    names: dict[str, Any] = {}

    exec(snippet.replace("http://your-host:8000", served.url), names)

    assert names["response"].status_code == 200
    assert "left" in names["response"].json()
