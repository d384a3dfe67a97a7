"""Rotate the key under load, on a live edge behind each real proxy: no genuine request is lost, and the metrics tell.

All edges rotate at the same time, because most of it is waiting: an edge looks at its key file every ten seconds.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from restate_identity.signing import RequestSigner
from tests.support.edge import running_service
from tests.support.edge_command import EdgeProcess, edge
from tests.support.edge_proxies import INSTALLED, PREFIX, proxy
from tests.support.key_file import replace_keys
from tests.support.processes import free_port

PATH = "/invoke/Greeter/greet"
PAUSE = 0.1
DEADLINE = 60.0


class Caller:
    """Calls through one proxy for as long as the test runs, one request after the other."""

    def __init__(self, port: int, signer: RequestSigner) -> None:
        self.signer = signer
        self.statuses = Counter[int | str]()
        self.done = threading.Event()
        self._port = port
        self._thread = threading.Thread(target=self._call)

    def __enter__(self) -> Caller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self._thread.join()

    def _call(self) -> None:
        while not self.done.wait(PAUSE):
            try:
                status: int | str = called(self._port, self.signer)
            except OSError as error:
                status = repr(error)
            self.statuses[status] += 1


class Rotation:
    """The edges behind the proxies, which share a key file."""

    def __init__(self, key_file: Path) -> None:
        self.key_file = key_file
        self.edges: dict[str, EdgeProcess] = {}
        self.ports: dict[str, int] = {}
        self.callers: dict[str, Caller] = {}
        self.metrics_ports: dict[str, int] = {}

    def trust(self, *signers: RequestSigner) -> None:
        """Replace the key file, and wait until all edges have taken it up."""
        replace_keys(self.key_file, signers, [running.log for running in self.edges.values()])

    def accepted(self, name: str, signer: RequestSigner) -> float:
        """Return what the metrics of an edge say about a key."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics_ports[name]}/metrics", trust_env=False).text
        start = f'restate_identity_accepted_total{{key="{signer.public_key}"}} '
        (value,) = [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]
        return float(value)


def called(port: int, signer: RequestSigner) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("POST", PREFIX + PATH, headers=signer.headers(PATH))
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def rotation(tmp_path: Path) -> Iterator[tuple[Rotation, RequestSigner]]:
    old = RequestSigner.generate()
    rotating = Rotation(tmp_path / "keys")
    rotating.key_file.write_text(f"{old.public_key}\n")
    with ExitStack() as running:
        service = running.enter_context(running_service())
        for name in INSTALLED:
            folder = tmp_path / name
            folder.mkdir()
            metrics = rotating.metrics_ports[name] = free_port()
            arguments = ("--behind", name, "--metrics-port", str(metrics))
            keys = {"RESTATE_IDENTITY_KEYS_FILE": str(rotating.key_file)}
            process = rotating.edges[name] = running.enter_context(edge(folder, *arguments, keys=keys))
            port = rotating.ports[name] = running.enter_context(proxy(name, edge=process.port, service=service.port))
            rotating.callers[name] = running.enter_context(Caller(port, old))
        yield rotating, old


def test_a_rotation_under_load_loses_no_request_and_the_metrics_show_the_key_in_use(
    rotation: tuple[Rotation, RequestSigner],
) -> None:
    running, old = rotation
    new = RequestSigner.generate()
    assert [called(port, new) for port in running.ports.values()] == [401] * len(INSTALLED)
    running.trust(old, new)
    for caller in running.callers.values():
        caller.signer = new
    # A call that is still signed with the old key may be on its way.
    time.sleep(0.5)
    counts = {name: running.accepted(name, old) for name in INSTALLED}
    assert min(counts.values()) > 0
    running.trust(new)
    assert [called(port, old) for port in running.ports.values()] == [401] * len(INSTALLED)
    for name, caller in running.callers.items():
        caller.done.set()
        assert set(caller.statuses) == {200}, f"{name}: {caller.statuses}"
        assert running.accepted(name, old) == counts[name]
        assert running.accepted(name, new) > 0
