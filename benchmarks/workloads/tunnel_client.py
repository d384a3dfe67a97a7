"""Measure a service through the client, its local port, nginx and directly, and the memory of an idle client."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.children import answer, child
from benchmarks.contenders import PATH
from benchmarks.measure import Case, Samples
from benchmarks.session import Outcome, Session
from benchmarks.workloads.servers import WARM_UP, environment, load_outcome
from benchmarks.workloads.tunnel import LoadGenerator, http2_case, load_generator
from tests.support.processes import free_port
from tests.support.proxies import is_installed, proxied
from tests.support.servers import granian, hypercorn, serve

STREAMS = 16
MEMORY = "memory of an idle client"
# The SDK's usual server, and one that is not written in Python.
SERVICES = {
    "hypercorn": hypercorn("benchmarks.servers.served:app", "--config=python:benchmarks.servers.hypercorn_config"),
    "granian": granian("benchmarks.servers.served:app", "--http=2"),
}
NGINX = """\
upstream service {
    server 127.0.0.1:9080;
    keepalive 32;
}
server {
    listen 8080;
    http2 on;
    keepalive_requests 1000000000;
    location / {
        proxy_pass http://service;
        proxy_http_version 2;
    }
}
"""


def directly(service: str) -> str:
    """Return the name of the case without anything in between."""
    return f"{service}, directly"


def through_nginx(service: str) -> str:
    """Return the name of the case with nginx in between."""
    return f"{service}, through nginx"


def through_client(service: str) -> str:
    """Return the name of the case with the tunnel client in between."""
    return f"{service}, through the tunnel client"


def through_local_port(service: str) -> str:
    """Return the name of the case in which the service stands for an API of the cloud."""
    return f"{service}, through the local port"


def run(session: Session) -> Outcome:
    """Load each service in each way over HTTP/2."""
    latencies: dict[str, Samples] = {"p50": {}, "p99": {}}
    env = environment("reading", session)
    cases = []
    memory = 0.0
    with ExitStack() as stack:
        generator = stack.enter_context(load_generator())

        def case(name: str, path: str) -> Case:
            return http2_case(session, generator, latencies, name, path, STREAMS)

        for service, command in SERVICES.items():
            port = stack.enter_context(serve(*command, env=env)).port
            generator.ask("dial", name=directly(service), port=port, connections=1)
            cases.append(case(directly(service), PATH))
            if is_installed("nginx"):
                _behind_nginx(stack, generator, service, port)
                cases.append(case(through_nginx(service), PATH))
            memory = stack.enter_context(_forwarded(generator, through_client(service), port, env))
            cases.append(case(through_client(service), f"/http/127.0.0.1/{port}{PATH}"))
        # The last service, the faster one.
        local = stack.enter_context(_local_port(port))
        generator.ask("dial", name=through_local_port(service), port=local, connections=1)
        cases.append(case(through_local_port(service), PATH))
        samples = session.interleave(cases, warm_up=WARM_UP)
    outcome = load_outcome(samples, latencies)
    outcome.samples[MEMORY] = [memory]
    outcome.units[MEMORY] = "bytes"
    outcome.notes.append(
        f"1 connection, {STREAMS} streams at a time, HTTP/2 in cleartext; the load generator shares the machine, and "
        "the client verifies each request"
    )
    if not is_installed("nginx"):
        outcome.notes.append("nginx has no wheel for this platform, and is left out")
    return outcome


def _behind_nginx(stack: ExitStack, generator: LoadGenerator, service: str, port: int) -> None:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for name in ("configuration", "run"):
        (folder / name).mkdir()
    (folder / "configuration" / "nginx.conf").write_text(NGINX)
    front = free_port()
    stack.enter_context(proxied("nginx", folder / "configuration", folder / "run", port=front, upstream=port))
    generator.ask("dial", name=through_nginx(service), port=front, connections=1)


@contextmanager
def _local_port(port: int) -> Iterator[int]:
    """Run a remote proxy in front of *port*; give its own port."""
    with child("benchmarks.servers.remote_proxy", str(port), quiet=True) as proxy:
        yield answer(proxy)


@contextmanager
def _forwarded(generator: LoadGenerator, name: str, port: int, env: dict[str, str]) -> Iterator[float]:
    """Run a client in front of *port*; give its memory before the first request."""
    arguments = (str(generator.ask("listen", name=name)["port"]), f"http://127.0.0.1:{port}")
    with child("benchmarks.servers.forwarding", *arguments, env=env, quiet=True) as client:
        memory = float(answer(client)["rss"])
        generator.ask("wait", name=name, connections=1)
        yield memory
