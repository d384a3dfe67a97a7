"""Start the services of ``integrations/``, and call them as Restate and as an attacker would."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from dockerfile_parse import DockerfileParser

from restate_identity.signing import RequestSigner
from tests.support import ROOT
from tests.support.forge import claims, header, token
from tests.support.invocation import CONTENT_TYPE, invocation_body
from tests.support.processes import PATH, free_port, ran
from tests.support.servers import serve

INTEGRATIONS = ROOT / "integrations"

# `python` and what is installed beside it are those of the tests.

# Nothing of these servers is kept, and the SDK takes SIGTERM away from the one that it runs in.
NO_PATIENCE = 0.0

# All of it is plain HTTP on loopback. A connection for each request, so that every worker of a server gets some.
HTTP = httpx.Client(trust_env=False, verify=False, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass(frozen=True)
class Served:
    """A running integration, and its output."""

    url: str
    log: Path

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return HTTP.get(f"{self.url}{path}", headers=headers)

    def post(self, path: str, headers: Mapping[str, str], argument: object) -> httpx.Response:
        """Send JSON to a route of an application."""
        return HTTP.post(f"{self.url}{path}", headers=headers, json=argument)

    def invoke(self, path: str, headers: Mapping[str, str], argument: object, key: str = "") -> httpx.Response:
        """Call a handler of a Restate service, with all that a server would send but the signature."""
        return HTTP.post(
            f"{self.url}{path}",
            headers={"content-type": CONTENT_TYPE, **headers},
            content=invocation_body(key, argument),
        )

    def has_printed(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def refusals(self) -> list[str]:
        """Return the lines about refusals that have a time and a level."""
        line = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING restate_identity: (refused a request .*)$"
        return re.findall(line, self.log.read_text(errors="replace"), flags=re.MULTILINE)


class Launcher:
    """Starts servers in the folders of ``integrations/``, with the identity key in the environment."""

    def __init__(self, identity_key: str, folders: pytest.TempPathFactory) -> None:
        self._identity_key = identity_key
        self._folders = folders
        self._running = ExitStack()

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def __call__(
        self,
        folder: str | Path,
        command: Callable[[int], Sequence[str]],
        *,
        env: Mapping[str, str] | None = None,
    ) -> Served:
        """Run the *command* for a free port in *folder* and return when it answers HTTP requests."""
        port = free_port()
        environment = {
            "PATH": PATH,
            "PYTHONUNBUFFERED": "1",
            "RESTATE_IDENTITY_KEYS": self._identity_key,
            **(env or {}),
        }
        log = self._folders.mktemp("served") / "server.log"
        server = self._running.enter_context(
            serve(*command(port), env=environment, port=port, log=log, cwd=INTEGRATIONS / folder, patience=NO_PATIENCE)
        )
        return Served(server.url, server.log)


def calls_of_the_readme(folder: str, addresses: Mapping[str, str], pem: Path) -> list[str]:
    """Run the commands with curl in the README of *folder*, and return the status codes that they print.

    Args:
        folder: A folder of ``integrations/``.
        addresses: What to put in place of the addresses in the README.
        pem: The private key that is private.pem there.
    """
    blocks = re.findall(r"```sh\n(.*?)```", (INTEGRATIONS / folder / "README.md").read_text("utf-8"), flags=re.DOTALL)
    (commands,) = [block for block in blocks if block.startswith("curl ")]
    for address, real in addresses.items():
        assert address in commands
        commands = commands.replace(address, real)
    commands = commands.replace("private.pem", str(pem))
    done = ran("bash", "-e", "-c", commands, env={"PATH": PATH, "NO_PROXY": "127.0.0.1"})
    assert done.returncode == 0, done.stderr
    # The code comes right after the body.
    return re.findall(r"(\d{3})$", done.stdout, flags=re.MULTILINE)


def _unsigned(signer: RequestSigner, path: str, subject: str | None) -> dict[str, str]:  # noqa: ARG001
    return {}


def _signed_by_another(signer: RequestSigner, path: str, subject: str | None) -> dict[str, str]:  # noqa: ARG001
    return RequestSigner.generate().headers(path, subject=subject)


def _signed_by_another_in_our_name(signer: RequestSigner, path: str, subject: str | None) -> dict[str, str]:
    now = int(time.time())
    forged: dict[str, Any] = claims(aud=path, sub=subject, iat=now, nbf=now - 60, exp=now + 60)
    headers = signer.headers(path, subject=subject)
    return {**headers, "x-restate-jwt-v1": token(header(kid=str(signer.public_key)), forged, foreign=True)}


def _signed_for_another_path(signer: RequestSigner, path: str, subject: str | None) -> dict[str, str]:  # noqa: ARG001
    return signer.headers("/invoke/Another/handler", subject=subject)


REFUSED: dict[str, Callable[[RequestSigner, str, str | None], dict[str, str]]] = {
    "unsigned": _unsigned,
    "signed by another": _signed_by_another,
    "signed by another in our name": _signed_by_another_in_our_name,
    "signed for another path": _signed_for_another_path,
}


def refused_headers(how: str, signer: RequestSigner, path: str, subject: str | None = None) -> dict[str, str]:
    """Return the headers of a request for *path* that must be refused; *how* is a key of `REFUSED`."""
    return REFUSED[how](signer, path, subject)


def assert_only_the_signed_one_is_greeted(served: Served, signer: RequestSigner, path: str, how: str) -> None:
    """Call the greeter of an integration twice, with headers that are wrong as *how* says and with genuine ones."""
    assert served.invoke(path, refused_headers(how, signer, path), "Mallory").status_code == 401
    assert served.invoke(path, signer.headers(path), "Grace").status_code == 200
    assert served.has_printed("greeting Grace")
    assert not served.has_printed("greeting Mallory")


def instructions(folder: Path, name: str) -> list[str]:
    """Return what the instructions of this *name* say in the Dockerfile of *folder*."""
    parsed: list[dict[str, Any]] = DockerfileParser(str(folder / "Dockerfile")).structure
    return [instruction["value"] for instruction in parsed if instruction["instruction"] == name]
