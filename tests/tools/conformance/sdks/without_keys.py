"""Services of the Go and the Java SDK without keys, and a real Restate server: what is between them must verify."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from restate_identity.signing import RequestSigner
from tests.support.processes import free_port
from tests.support.restate_server import RestateServer, find_server
from tests.support.servers import serve
from tests.support.wire import Http2Exchange
from tests.tools.conformance.sdks.__main__ import go, java

PATH = "/invoke/Greeter/greet"
CALLS = 50


class Service(NamedTuple):
    """A service that answers a call of `PATH` with its argument."""

    label: str
    port: int


class Caller(NamedTuple):
    """A real server that signs its calls, and who can forge them."""

    restate: RestateServer
    signer: RequestSigner
    folder: Path

    def check(self, port: int, prefix: str) -> str:
        """Register and call a service behind *port*, and send it forgeries. Return what was seen."""
        registered = self.restate.register(f"http://127.0.0.1:{port}{prefix}")
        assert registered.is_success, registered.text
        names = [f"Ada {number}" for number in range(CALLS)]
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda name: self.restate.invoke("Greeter/greet", name).json(), names))
        assert answers == names, answers
        forged = [RequestSigner.generate().headers(PATH), self.signer.headers("/invoke/Greeter/other"), {}]
        for forgery in forged:
            with Http2Exchange(port, "POST", prefix + PATH, forgery.items()) as exchange:
                assert exchange.status() == 401
        return f"{CALLS} calls answered, {len(forged)} forgeries refused"


@contextmanager
def calling() -> Iterator[Caller]:
    """Run a real server with a key of its own."""
    signer = RequestSigner.generate()
    with tempfile.TemporaryDirectory() as temporary:
        pem = Path(temporary, "identity.pem")
        pem.touch(mode=0o600)
        pem.write_bytes(signer.to_pem())
        with RestateServer(find_server(), identity_key=pem) as restate:
            yield Caller(restate, signer, Path(temporary))


def services() -> Iterator[Service]:
    """Give each service while it runs; print which are left out."""
    for label, tool, command in (("Go SDK", "go", go), ("Java SDK", "mvn", java)):
        if shutil.which(tool) is None:
            print(f"{label}: left out, {tool} is not installed", flush=True)
            continue
        port = free_port()
        with serve(*command(port), port=port, patience=0.0):
            yield Service(label, port)
