"""Rotate the key: a real Restate server gets a new one, and the running service follows by its key file alone."""

from __future__ import annotations

import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from restate_identity.signing import RequestSigner
from tests.support.key_file import replace_keys
from tests.support.refusals import RefusalLog
from tests.support.restate_server import RestateServer
from tests.support.servers import hypercorn, serve, uvicorn

DEADLINE = 60.0
DISCOVER = {"accept": "application/vnd.restate.endpointmanifest.v4+json"}
DESCRIPTORS = 64
# For so many seconds after a change, a file is read at each look in any case.
YOUNG = 2.5


@dataclass(frozen=True)
class Service:
    """A guarded service that runs through the whole drill."""

    url: str
    key_file: Path
    log: Path

    def trust(self, *signers: RequestSigner) -> None:
        """Replace the key file, and wait until a request has made the service take it up."""
        replace_keys(self.key_file, signers, [self.log])

    def status(self, signer: RequestSigner) -> int:
        """Return how it answers a request for discovery that *signer* signed."""
        headers = {**DISCOVER, **signer.headers("/discover")}
        url = f"{self.url}/discover"
        return httpx.get(url, headers=headers, trust_env=False, verify=False, timeout=DEADLINE).status_code


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Service, RequestSigner]]:
    """A service that trusts one key, and the signer with that key."""
    signer = RequestSigner.generate()
    key_file = tmp_path / "keys"
    key_file.write_text(f"{signer.public_key}\n")
    with serve(*hypercorn("tests.support.rotating_app:app"), env={"KEY_FILE": str(key_file)}) as server:
        yield Service(server.url, key_file, server.log), signer


@contextmanager
def calls(server: RestateServer) -> Iterator[list[httpx.Response]]:
    """Call the service through *server* for the time of the block, and give the answers so far."""
    answers: list[httpx.Response] = []
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            answers.append(server.invoke("Greeter/greet", "Ada"))

    caller = threading.Thread(target=call)
    caller.start()
    try:
        yield answers
    finally:
        done.set()
        caller.join(2 * DEADLINE)
    assert not caller.is_alive()
    assert answers
    assert {answer.status_code for answer in answers} == {200}, answers[-1].text


def test_a_key_is_rotated_without_a_restart_of_the_service_and_without_a_refusal(
    restate_program: Path, service: tuple[Service, RequestSigner], tmp_path: Path
) -> None:
    guarded, old = service
    new = RequestSigner.generate()
    refusals = RefusalLog(guarded.log)
    pem = tmp_path / "identity.pem"
    pem.touch(mode=0o600)
    pem.write_bytes(old.to_pem())
    data = tmp_path / "data"

    with RestateServer(restate_program, identity_key=pem, data=data) as server:
        registered = server.register(guarded.url)
        assert registered.status_code == 201, registered.text
        # Step 1: the service trusts the new key too, while the server still signs with the old one.
        with calls(server):
            guarded.trust(old, new)

    # Step 2: the same server, with the same data, starts again with the new key.
    pem.write_bytes(new.to_pem())
    with RestateServer(restate_program, identity_key=pem, data=data) as server:
        # Step 3: the service stops trusting the old key.
        with calls(server):
            guarded.trust(new)
        assert refusals.new() == [], "not one genuine request was refused"

        assert (guarded.status(new), guarded.status(old)) == (200, 401)
        [refusal] = refusals.new()
        assert (refusal.path, refusal.reason) == ("/discover", "unknown_key")
        assert str(old.public_key) in refusal.hint
        assert server.invoke("Greeter/greet", "Ada").status_code == 200


def test_a_leaked_key_is_dropped_though_a_stranger_held_all_descriptors_while_it_was_rotated(tmp_path: Path) -> None:
    leaked, new = RequestSigner.generate(), RequestSigner.generate()
    key_file = tmp_path / "keys"
    key_file.write_text(f"{leaked.public_key}\n")
    command = shlex.join(uvicorn("tests.support.rotating_app:app", "--loop=asyncio", "--no-access-log"))
    limited = ("/bin/sh", "-c", f"ulimit -n {DESCRIPTORS}; exec {command}")
    with (
        serve(*limited, env={"KEY_FILE": str(key_file)}) as server,
        # One connection, which the service keeps.
        httpx.Client(base_url=server.url, trust_env=False, verify=False, timeout=DEADLINE) as client,
        ExitStack() as idle,
    ):

        def status(signer: RequestSigner) -> int:
            return client.get("/discover", headers={**DISCOVER, **signer.headers("/discover")}).status_code

        def until(happened: Callable[[], bool]) -> None:
            give_up_at = time.monotonic() + DEADLINE
            while not happened():
                assert time.monotonic() < give_up_at, server.printed
                time.sleep(0.05)

        assert (status(leaked), status(new)) == (200, 401)
        for _ in range(2 * DESCRIPTORS):
            idle.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE))
        until(lambda: "out of system resource" in server.printed)
        replacement = tmp_path / "new"
        replacement.write_text(f"{new.public_key}\n")
        replacement.replace(key_file)

        def is_told() -> bool:
            assert status(leaked) == 200, "the last good keys stay in force"
            return f"the key file {key_file} cannot be read: Too many open files" in server.printed

        until(is_told)
        # The file has become old, and is as it was when it could not be opened.
        until(lambda: is_told() and time.time() > key_file.stat().st_ctime + YOUNG)
        assert server.printed.count("cannot be read") == 1, "told once, not at each look"
        idle.close()

        until(lambda: status(new) == 200)
        assert status(leaked) == 401
        assert server.printed.count(f"now trusting {new.public_key}\n") == 1
