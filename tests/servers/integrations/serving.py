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
from tests.support.restate_server import RestateServer
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


def calls_through_restate_and_past_it(
    folder: str, served: Served, restate_server: RestateServer, pem: Path, prefix: str = ""
) -> list[str]:
    """Register a service, run the commands with curl in its README, and return the status codes that they print."""
    answer = restate_server.register(f"{served.url}{prefix}")
    assert answer.is_success, answer.text
    addresses = {"http://localhost:9080": served.url, "http://localhost:8080": restate_server.ingress_url}
    return calls_of_the_readme(folder, addresses, pem)


def forgeries(signer: RequestSigner, path: str) -> dict[str, dict[str, str]]:
    """Return the headers of requests for *path* that must be refused, by what is wrong with them."""
    now = int(time.time())
    genuine = signer.headers(path)
    forged = token(
        header(kid=str(signer.public_key)), claims(aud=path, iat=now, nbf=now - 60, exp=now + 60), foreign=True
    )
    return {
        "unsigned": {},
        "signed by another": RequestSigner.generate().headers(path),
        "signed by another in our name": {**genuine, "x-restate-jwt-v1": forged},
        "signed for another path": signer.headers("/invoke/Another/handler"),
    }


def assert_only_the_signed_one_is_greeted(served: Served, signer: RequestSigner, path: str) -> None:
    """Call the greeter of an integration with forged headers, and with genuine ones."""
    for how, headers in forgeries(signer, path).items():
        assert served.invoke(path, headers, "Mallory").status_code == 401, how
    assert served.invoke(path, signer.headers(path), "Grace").status_code == 200
    assert served.has_printed("greeting Grace")
    assert not served.has_printed("greeting Mallory")


def assert_restate_greets(
    served: Served, restate_server: RestateServer, service: str, *, use_http_11: bool = False
) -> None:
    """Have a real server discover and call the greeter of an integration."""
    answer = restate_server.register(served.url, use_http_11=use_http_11)
    assert answer.is_success, answer.text
    assert restate_server.invoke(f"{service}/greet", "Ada").json() == "Hello Ada!"
    assert served.has_printed("greeting Ada")


def instructions(folder: Path, name: str) -> list[str]:
    """Return what the instructions of this *name* say in the Dockerfile of *folder*."""
    parsed: list[dict[str, Any]] = DockerfileParser(str(folder / "Dockerfile")).structure
    return [instruction["value"] for instruction in parsed if instruction["instruction"] == name]
