"""Rotate the key under load, on a live edge behind each real proxy, then let the edges hang: each proxy must refuse.

All edges do so at the same time, because most of it is waiting: an edge looks at its key file every ten seconds.
"""

from __future__ import annotations

import http.client
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from restate_identity.signing import RequestSigner
from tests.support.edge import Service, running_service
from tests.support.edge_command import EdgeProcess, edge
from tests.support.edge_proxies import INSTALLED, PREFIX, proxy
from tests.support.key_file import replace_keys
from tests.support.processes import free_port
from tests.support.wire import Http2Exchange

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

    def __init__(self, key_file: Path, service: Service) -> None:
        self.key_file = key_file
        self.service = service
        self.signer = RequestSigner.generate()
        self.edges: dict[str, EdgeProcess] = {}
        self.ports: dict[str, int] = {}
        self.metrics_ports: dict[str, int] = {}

    def trust(self, *signers: RequestSigner) -> None:
        """Replace the key file, and wait until all edges have taken it up."""
        replace_keys(self.key_file, signers, [running.log for running in self.edges.values()])

    def accepted(self, name: str, signer: RequestSigner) -> float:
        """Return what the metrics of an edge say about a key."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics_ports[name]}/metrics", trust_env=False, verify=False).text
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


@pytest.fixture(scope="module")
def rotation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotation]:
    folder = tmp_path_factory.mktemp("rotation")
    with ExitStack() as running:
        service = running.enter_context(running_service())
        rotating = Rotation(folder / "keys", service)
        rotating.key_file.write_text(f"{rotating.signer.public_key}\n")
        for name in INSTALLED:
            (folder / name).mkdir()
            metrics = rotating.metrics_ports[name] = free_port()
            arguments = ("--behind", name, "--metrics-port", str(metrics))
            keys = {"RESTATE_IDENTITY_KEYS_FILE": str(rotating.key_file)}
            process = rotating.edges[name] = running.enter_context(edge(folder / name, *arguments, keys=keys))
            rotating.ports[name] = running.enter_context(proxy(name, edge=process.port, service=service.port))
        yield rotating


def test_a_rotation_under_load_loses_no_request_and_the_metrics_show_the_key_in_use(rotation: Rotation) -> None:
    old, new = rotation.signer, RequestSigner.generate()
    with ExitStack() as running:
        callers = {name: running.enter_context(Caller(port, old)) for name, port in rotation.ports.items()}
        assert [called(port, new) for port in rotation.ports.values()] == [401] * len(INSTALLED)
        rotation.trust(old, new)
        for caller in callers.values():
            caller.signer = new
        # A call that is still signed with the old key may be on its way.
        time.sleep(0.5)
        counts = {name: rotation.accepted(name, old) for name in INSTALLED}
        assert min(counts.values()) > 0
        rotation.trust(new)
        rotation.signer = new
        assert [called(port, old) for port in rotation.ports.values()] == [401] * len(INSTALLED)
    for name, caller in callers.items():
        assert set(caller.statuses) == {200}, f"{name}: {caller.statuses}"
        assert rotation.accepted(name, old) == counts[name]
        assert rotation.accepted(name, new) > 0


def test_an_edge_that_never_answers_means_no(rotation: Rotation) -> None:
    """Traefik's limit is 30 s and cannot be set; the configurations of the others have one of 5 s."""
    rotation.service.received.clear()
    before = {name: rotation.accepted(name, rotation.signer) for name in INSTALLED}
    with ExitStack() as running:
        exchanges: dict[str, Http2Exchange] = {}
        for name, port in rotation.ports.items():
            process = rotation.edges[name].process
            # The kernel still accepts its connections.
            process.send_signal(signal.SIGSTOP)
            running.callback(process.send_signal, signal.SIGCONT)
            headers = rotation.signer.headers(PATH).items()
            exchanges[name] = Http2Exchange(port, "POST", PREFIX + PATH, headers, timeout=DEADLINE)
            running.push(exchanges[name])
        # In the order of the answers: some proxies end a connection that is idle after one.
        order = sorted(exchanges, key="traefik".__eq__)
        statuses = {name: exchanges[name].status() for name in order}
        assert set(statuses.values()) <= {500, 502, 503, 504}, statuses
        assert rotation.service.received == []
    for name, port in rotation.ports.items():
        assert called(port, rotation.signer) == 200
        # The question that was not answered, and this one: asking again would only take as long again.
        assert rotation.accepted(name, rotation.signer) <= before[name] + 2, name
