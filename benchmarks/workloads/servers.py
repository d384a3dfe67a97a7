"""Measure whole requests: an ASGI server with the check in one process, its client in another."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from benchmarks.children import ask
from benchmarks.contenders import PATH
from benchmarks.measure import Case, Samples
from benchmarks.session import Outcome, Session
from benchmarks.signed import SignedRequest, with_signature_changed
from restate_identity import ED25519_IMPLEMENTATION
from tests.support import ROOT
from tests.support.servers import hypercorn, serve, uvicorn

APPS = ("bare", "guarded", "native")
SERVERS = {
    "uvicorn": uvicorn("benchmarks.servers.served:app", "--no-access-log"),
    "hypercorn": hypercorn("benchmarks.servers.served:app", "--log-level=ERROR"),
}
CASES = {
    "bare app": ("bare", "seen"),
    "middleware, token seen before": ("guarded", "seen"),
    "middleware, new tokens": ("guarded", "new"),
    "SDK's native check": ("native", "seen"),
}
CONNECTIONS = 8
# More tokens than the cache holds, sent in a cycle, so that a token is evicted before it comes again.
NEW_TOKENS = 5000
WARM_UP = 1


def run(session: Session) -> Outcome:
    """Load every server and app in turn, and count the answers per second."""
    latencies: dict[str, Samples] = {"p50": {}, "p99": {}}
    with ExitStack() as stack:
        client = Client(stack)
        client.keep("seen", [session.pair.request("/invoke/Greeter/greet")])
        client.keep("new", session.pair.distinct(PATH, NEW_TOKENS))
        forged = session.pair.request(PATH)
        client.keep("forged", [_forged(forged)])
        cases = []
        for server, command in SERVERS.items():
            ports = {app: stack.enter_context(serve(*command, env=environment(app, session))).port for app in APPS}
            for label, (app, requests) in CASES.items():
                port = ports[app]
                if app != "bare":
                    client.load(port, "forged", 0.02, expect="401")
                name = f"{server}: {label}"
                load = functools.partial(client.load, port, requests, session.scale.served, expect="200")
                cases.append(load_case(name, load, latencies))
        samples = session.interleave(cases, warm_up=WARM_UP)
    outcome = load_outcome(samples, latencies)
    outcome.notes.append(f"{CONNECTIONS} connections, HTTP/1.1 kept alive; the client shares the machine")
    return outcome


def environment(app: str, session: Session) -> dict[str, str]:
    """Return the variables for a server of *app*, which fails if it would check signatures by other means than here."""
    return {
        "BENCHMARK_APP": app,
        "BENCHMARK_IDENTITY_KEY": str(session.pair.public),
        "BENCHMARK_ED25519": ED25519_IMPLEMENTATION,
    }


def load_case(name: str, load: Callable[[], dict[str, Any]], latencies: dict[str, Samples]) -> Case:
    """Return the case of loading a server; it adds the latencies to *latencies*."""
    for by_name in latencies.values():
        by_name[name] = []

    def sample() -> float:
        answer = load()
        for percentile, by_name in latencies.items():
            by_name[name].append(answer[percentile])
        return float(answer["rate"])

    return Case(name, sample)


def load_outcome(samples: Samples, latencies: dict[str, Samples]) -> Outcome:
    """Return the rates, and the latencies of the same rounds, by the name of the case and of the percentile."""
    outcome = Outcome(samples, unit="requests/s")
    for percentile, by_name in latencies.items():
        for name, values in by_name.items():
            series = f"{name}, {percentile}"
            outcome.samples[series] = values[WARM_UP:]
            outcome.units[series] = "ns"
    return outcome


def _forged(genuine: SignedRequest) -> SignedRequest:
    token = with_signature_changed(genuine.token).encode()
    headers = [(name, token if name == b"x-restate-jwt-v1" else value) for name, value in genuine.headers]
    return genuine._replace(headers=headers)


class Client:
    """The load generator, in its own process."""

    def __init__(self, stack: ExitStack) -> None:
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.servers.load"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )

    def keep(self, name: str, requests: list[SignedRequest], body: bytes = b"{}") -> None:
        plain = [
            (request.path, [(name.decode(), value.decode()) for name, value in request.headers]) for request in requests
        ]
        self._ask({"do": "keep", "set": name, "requests": plain, "body": body.hex()})

    def load(
        self, port: int, name: str, seconds: float, *, expect: str, connections: int = CONNECTIONS
    ) -> dict[str, Any]:
        answer = self._ask({"do": "load", "port": port, "set": name, "seconds": seconds, "connections": connections})
        if set(answer["statuses"]) != {expect}:
            raise AssertionError(f"expected {expect} to every request, not {answer['statuses']}")
        return answer

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = ask(self._process, command, ended=AssertionError("the load generator ended by itself"))
        return answer
