"""Measure the same app through the tunnel, through the SDK's and directly, and the memory of an idle connection."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trustme

from benchmarks.children import answer, ask, child
from benchmarks.contenders import PATH
from benchmarks.measure import Case, Samples
from benchmarks.session import Outcome, Session
from benchmarks.workloads.servers import WARM_UP, environment, load_case, load_outcome
from tests.support.servers import hypercorn, serve

DIRECT, THROUGH = "hypercorn, directly", "through the tunnel"
# Over one connection, since `restate.connect` opens one to each server.
ONE, SDKS = "through the tunnel, one connection", "through restate.connect, one connection"
MEMORY = "memory of an idle connection, TLS"
CONNECTIONS = 2
STREAMS = 16
STREAMS_OF_ONE = 32
IDLE = 100
PREFIX = "/http/in-process/9080"


def run(session: Session) -> Outcome:
    """Load the guarded app both ways over HTTP/2, and open idle connections."""
    latencies: dict[str, Samples] = {"p50": {}, "p99": {}}
    env = environment("guarded-reading", session)
    with ExitStack() as stack:
        client = stack.enter_context(load_generator())
        config = ("--config=python:benchmarks.servers.hypercorn_config", "--log-level=ERROR")
        server = stack.enter_context(serve(*hypercorn("benchmarks.servers.served:app", *config), env=env))
        cloud = client.ask("listen", name=THROUGH)["port"]
        stack.enter_context(child("benchmarks.servers.tunnelled", str(cloud), str(CONNECTIONS), env=env))
        client.ask("wait", name=THROUGH, connections=CONNECTIONS)
        cloud = client.ask("listen", name=ONE)["port"]
        stack.enter_context(child("benchmarks.servers.tunnelled", str(cloud), "1", env=env))
        client.ask("wait", name=ONE, connections=1)
        # The engine verifies by itself.
        cloud = client.ask("listen", name=SDKS)["port"]
        engine = child("benchmarks.servers.sdk_tunnelled", str(cloud), env=environment("reading", session), quiet=True)
        stack.enter_context(engine)
        client.ask("wait", name=SDKS, connections=1)
        client.ask("dial", name=DIRECT, port=server.port, connections=CONNECTIONS)

        case = partial(http2_case, session, client, latencies)
        cases = [case(DIRECT, PATH, STREAMS), case(THROUGH, PREFIX + PATH, STREAMS)]
        cases += [case(name, PREFIX + PATH, STREAMS_OF_ONE) for name in (ONE, SDKS)]
        samples = session.interleave(cases, warm_up=WARM_UP)
        memory = _memory_of_an_idle_connection(client, env)
    outcome = load_outcome(samples, latencies)
    outcome.samples[MEMORY] = [memory]
    outcome.units[MEMORY] = "bytes"
    outcome.notes.append(
        f"{CONNECTIONS} connections and {STREAMS} streams at a time, or one and {STREAMS_OF_ONE}, HTTP/2 in cleartext; "
        "the client shares the machine"
    )
    return outcome


def http2_case(
    session: Session, generator: LoadGenerator, latencies: dict[str, Samples], name: str, path: str, streams: int
) -> Case:
    """Return the case of loading what *generator* knows as *name*, with so many requests to *path* at a time."""
    request = session.pair.request(PATH)
    # The authority says it already, and h2 ends the connection if they differ.
    headers = [(name.decode(), value.decode()) for name, value in request.headers if name != b"host"]

    def load() -> dict[str, Any]:
        loaded = generator.ask(
            "load", name=name, path=path, headers=headers, seconds=session.scale.served, streams=streams
        )
        if set(loaded["statuses"]) != {"200"}:
            raise AssertionError(f"expected 200 to every request {name}, not {loaded['statuses']}")
        return loaded

    return load_case(name, load, latencies)


def _memory_of_an_idle_connection(client: LoadGenerator, env: dict[str, str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        trusted, served = Path(folder, "authority.pem"), Path(folder, "server.pem")
        authority.cert_pem.write_to_path(str(trusted))
        issued.private_key_and_cert_chain_pem.write_to_path(str(served))
        port = client.ask("listen", name=MEMORY, certificate=str(served))["port"]
        with child("benchmarks.servers.tunnelled", str(port), str(2 * IDLE), str(trusted), env=env) as tunnel:
            half, all_of_them = answer(tunnel), answer(tunnel)
    return float(all_of_them["rss"] - half["rss"]) / IDLE


class LoadGenerator:
    """The load generator, in its own process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        answered: dict[str, Any] = ask(
            self._process, {"do": command, **arguments}, ended=AssertionError("the load generator ended by itself")
        )
        return answered


@contextmanager
def load_generator() -> Iterator[LoadGenerator]:
    with child("benchmarks.servers.load_h2") as process:
        yield LoadGenerator(process)
