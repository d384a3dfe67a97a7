"""A real Restate server calls guarded services over real HTTP, without stand-ins."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from restate_identity.signing import RequestSigner
from tests.support.base64url import from_base64url
from tests.support.processes import free_port
from tests.support.refusals import RefusalLog
from tests.support.restate_server import RestateServer
from tests.support.servers import hypercorn, serve, uvicorn

AWKWARD_KEYS = {
    "plain": "alice",
    "spaces": " two  words ",
    "slashes": "a/b//c/",
    "percent": "100%",
    "percent-encoding of its own": "%2F%00%",
    "query and fragment": "?a=1&b=2#c+d;e",
    "dots": "../..",
    "latin": "ü",
    "combining": "e\u0301",
    "emoji": "😀👩\u200d👩\u200d👧",
    "cjk": "名前",
    "right to left": "\u202eשלום",
    "line break": "line\nbreak\r\n",
    "control characters": "\x01\t\x08\x0c\x1b\x1f\x7f\x85",
    "quotes": "\"double\" and 'single'",
    "backslash": "C:\\new\\u0041",
    "line separator": "\u2028\u2029",
    "comma": "a, b",
    "very long": "k" * 4000,
}


@dataclass(frozen=True)
class Deployment:
    """Services that a server has registered, and where what arrived is recorded."""

    server: RestateServer
    recording: Path
    refusals: RefusalLog

    def call(self, *path: str, argument: object = None) -> dict[str, Any]:
        response = self.server.invoke("/".join(quote(segment, safe="") for segment in path), argument)
        assert response.status_code == 200, response.text
        result: dict[str, Any] = response.json()
        return result

    def recorded(self) -> list[tuple[str, dict[str, str]]]:
        records = [json.loads(line) for line in self.recording.read_text().splitlines()]
        return [(record["path"], record["headers"]) for record in records]


@contextmanager
def guarded_services(
    folder: Path, key: str, http: str = "HTTP/2", port: int | None = None
) -> Iterator[tuple[str, Path, Path]]:
    """Serve the guarded services; give their URL, the recording and the log."""
    recording = folder / "recording.jsonl"
    command = {"HTTP/2": hypercorn, "HTTP/1.1": uvicorn}[http]("tests.support.recording_app:app")
    env = {"DEMO_IDENTITY_KEY": key, "RECORDING": str(recording)}
    with serve(*command, env=env, port=port, log=folder / "service.log") as server:
        yield server.url, recording, server.log


@pytest.fixture(
    scope="module",
    params=[("HTTP/2", ""), ("HTTP/2", "/some/prefix"), ("HTTP/1.1", ""), ("HTTP/1.1", "/some/prefix")],
    ids=lambda param: f"{param[0]} {param[1]}".strip(),
)
def deployment(
    request: pytest.FixtureRequest,
    restate_server: RestateServer,
    identity_pem: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    http, prefix = request.param
    key = str(RequestSigner.from_pem(identity_pem).public_key)
    with guarded_services(tmp_path_factory.mktemp("services"), key, http) as (url, recording, log):
        response = restate_server.register(url + prefix, use_http_11=http == "HTTP/1.1")
        assert response.status_code == 201, response.text
        deployment = Deployment(restate_server, recording, RefusalLog(log))
        yield deployment
        assert deployment.refusals.new() == []
        paths = {path for path, _ in deployment.recorded()}
        assert f"{prefix}/discover" in paths
        assert all(path.startswith(prefix) for path in paths)


def test_a_service_is_served_and_has_no_subject(deployment: Deployment) -> None:
    assert deployment.call("Greeter", "greet", argument="Ada") == {"greeting": "Hello, Ada!", "signed_key": None}


@pytest.mark.parametrize("key", AWKWARD_KEYS.values(), ids=AWKWARD_KEYS)
def test_a_virtual_object_sees_its_own_key_as_the_subject(deployment: Deployment, key: str) -> None:
    added = deployment.call("Counter", key, "add", argument=3)
    read = deployment.call("Counter", key, "read")

    assert added == {"total": read["total"], "key": key, "signed_key": key}
    assert read["signed_key"] == key


def test_a_workflow_sees_its_own_key_as_the_subject(deployment: Deployment) -> None:
    key = f"ada/ü 😀 {uuid.uuid4()}"  # a workflow runs once for a key

    result = deployment.call("Signup", key, "run", argument="ada@example.com")

    assert result == {"email": "ada@example.com", "key": key, "signed_key": key}


def test_our_signer_makes_the_servers_tokens_byte_for_byte(deployment: Deployment, identity_pem: Path) -> None:
    deployment.call("Greeter", "greet", argument="Ada")
    for key in AWKWARD_KEYS.values():
        deployment.call("Counter", key, "read")

    signer = RequestSigner.from_pem(identity_pem)
    subjects = set()
    for path, headers in deployment.recorded():
        encoded_key = headers.get("x-restate-service-key")
        subject = None if encoded_key is None else unquote(encoded_key)
        token = headers["x-restate-jwt-v1"]
        assert headers["x-restate-signature-scheme"] == "v1"
        assert signer.token(path, subject=subject, now=issued_at(token)) == token
        subjects.add(subject)
    assert subjects >= {None, *AWKWARD_KEYS.values()}


def test_a_server_that_signs_with_another_key_is_turned_away(restate_server: RestateServer, tmp_path: Path) -> None:
    with guarded_services(tmp_path, str(RequestSigner.generate().public_key)) as (url, _, log):
        response = restate_server.register(url)

        assert response.is_error
        assert "401 Unauthorized" in response.text
        assert {(refusal.path, refusal.reason) for refusal in RefusalLog(log).new()} == {("/discover", "unknown_key")}


def test_a_server_sees_the_refusal_of_an_invocation_whose_body_it_has_not_ended(
    restate_program: Path, identity_pem: Path, tmp_path: Path
) -> None:
    key, other_key = RequestSigner.from_pem(identity_pem).public_key, RequestSigner.generate().public_key
    port = free_port()
    with RestateServer(restate_program, identity_key=identity_pem) as server:
        with guarded_services(tmp_path, str(key), port=port) as (url, _, _):
            assert server.register(url).status_code == 201
        with guarded_services(tmp_path, str(other_key), port=port) as (_, _, log):
            assert server.invoke("Greeter/greet/send", "Ada").is_success
            refusals = RefusalLog(log)
            paths: list[str] = []
            give_up_at = time.monotonic() + 60
            # It tries again only when it has seen the 401.
            while len(paths) < 2:
                assert time.monotonic() < give_up_at
                time.sleep(0.1)
                paths += [refusal.path for refusal in refusals.new()]
        assert set(paths) == {"/invoke/Greeter/greet"}


def issued_at(token: str) -> int:
    claims = json.loads(from_base64url(token.split(".")[1]))
    issued: int = claims["iat"]
    return issued


def test_the_scope_of_a_call_is_not_signed(restate_program: Path, identity_pem: Path, tmp_path: Path) -> None:
    """If a newer server signs it, the threat model is to say so, and `Identity` to carry it."""
    preview = dict.fromkeys(
        ("RESTATE_EXPERIMENTAL_ENABLE_SCOPED_VIRTUAL_OBJECTS", "RESTATE_EXPERIMENTAL_ENABLE_VQUEUES"), "true"
    )
    key = str(RequestSigner.from_pem(identity_pem).public_key)
    with (
        RestateServer(restate_program, identity_key=identity_pem, env=preview) as server,
        guarded_services(tmp_path, key) as (url, recording, _),
    ):
        assert server.register(url).status_code == 201
        for scope in ("tenantA", "tenantB"):
            added = server.invoke(f"restate/scope/{scope}/call/Counter/alice/add", 3)
            assert added.json() == {"total": 3, "key": "alice", "signed_key": "alice"}, "each scope has its own object"
        tokens = [
            record["headers"]["x-restate-jwt-v1"]
            for record in map(json.loads, recording.read_text().splitlines())
            if record["path"] == "/invoke/Counter/add"
        ]

    claims = [json.loads(from_base64url(token.split(".")[1])) for token in tokens]
    assert len(claims) == 2
    assert {name for one in claims for name in one} == {"aud", "exp", "iat", "nbf", "sub"}
    assert [one["sub"] for one in claims] == ["alice", "alice"]
