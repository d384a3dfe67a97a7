"""Services of the Go and the Java SDK without keys, called by a real Restate server through each proxy and its edge.

``make conformance-sdks`` runs this after the vectors. What is not installed is left out by name.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from restate_identity.signing import RequestSigner
from tests.support.edge_command import edge
from tests.support.edge_proxies import INSTALLED, PREFIX, proxy
from tests.support.processes import free_port
from tests.support.restate_server import RestateServer, find_server
from tests.support.servers import serve
from tests.support.wire import Http2Exchange
from tests.tools.conformance.sdks.__main__ import go, java

PATH = "/invoke/Greeter/greet"
SERVICES = {"Go SDK": ("go", go), "Java SDK": ("mvn", java)}


def called_through(name: str, service: int, restate: RestateServer, signer: RequestSigner, folder: Path) -> None:
    """Call the service on port *service* behind the proxy *name*, and send it forgeries."""
    with (
        edge(folder, "--behind", name, keys={"RESTATE_IDENTITY_KEYS": str(signer.public_key)}) as (_, port_of_edge, _),
        proxy(name, edge=port_of_edge, service=service) as port,
    ):
        registered = restate.register(f"http://127.0.0.1:{port}{PREFIX}")
        assert registered.is_success, registered.text
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda number: restate.invoke("Greeter/greet", f"Ada {number}").json(), range(50)))
        assert answers == [f"Ada {number}" for number in range(50)], answers
        other = signer.headers("/invoke/Greeter/other")
        for headers in ({}, RequestSigner.generate().headers(PATH), other):
            with Http2Exchange(port, "POST", PREFIX + PATH, headers.items()) as exchange:
                assert exchange.status() == 401


def main() -> int:
    signer = RequestSigner.generate()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pem = folder / "identity.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(signer.to_pem())
        with RestateServer(find_server(), identity_key=pem) as restate:
            for label, (tool, command) in SERVICES.items():
                if shutil.which(tool) is None:
                    print(f"{label}: left out, {tool} is not installed")
                    continue
                port = free_port()
                with serve(*command(port), port=port, patience=0.0):
                    for name in INSTALLED:
                        each = folder / f"{tool}-{name}"
                        each.mkdir()
                        called_through(name, port, restate, signer, each)
                        print(
                            f"{label} without keys, behind {name}: 50 calls answered, 3 forgeries refused", flush=True
                        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
