"""Measure verification at the edge: the application that is asked, and each real proxy with and without asking it.

Behind the proxies stands a handler of the Python SDK without identity keys. Beside them, a service of the TypeScript
SDK verifies for itself behind nginx, which asks nobody.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measure import Samples
from benchmarks.session import Outcome, Session
from benchmarks.signed import SignedRequest
from benchmarks.workloads.servers import CONNECTIONS, NEW_TOKENS, WARM_UP, Client, environment, load_case, load_outcome
from tests.support.edge_proxies import CONFIGURATIONS, INSTALLED, PREFIX, wait_for_its_routes
from tests.support.invocation import invocation_body
from tests.support.probed.endpoints import NODE, served
from tests.support.probed.typescript import installed_service
from tests.support.processes import free_port
from tests.support.proxies import proxied
from tests.support.servers import hypercorn, serve, uvicorn

BAREST = "asked directly: the barest application under uvicorn"
SEEN = "asked directly: an edge, token seen before"
NEW = "asked directly: an edge, new tokens"
# Behind the same proxy, so that only the verification differs.
TYPESCRIPT = "nginx: the TypeScript SDK verifies"
ASKING_FIRST = "nginx: asks, before the TypeScript SDK without keys"
PATH = "/invoke/Greeter/greet"
ROUNDS = 10
# What a configuration does without, if it is not to ask.
ASKING = {
    "nginx": ("nginx.conf", r"\n *auth_request [^;]*;", ""),
    "caddy": ("Caddyfile", r"\n\t\t\tforward_auth .*?\n\t\t\t}", ""),
    "traefik": ("dynamic.yaml", r"(\n +middlewares: \[no-forged-identity), restate-identity\]", r"\1]"),
    "envoy": (
        "envoy.yaml",
        r"\n +- name: restate-identity\n +typed_config:.*?(?=\n +- name: envoy.filters.http.r)",
        "",
    ),
    "haproxy": ("haproxy.cfg", r"\n +http-request lua\..*?(?=\n\n)", ""),
}


def without(proxy: str) -> str:
    """Return the name of the case of a proxy that asks nobody."""
    return f"{proxy}: asks nobody"


def seen(proxy: str) -> str:
    """Return the name of the case of a proxy that asks, with one token."""
    return f"{proxy}: asks, token seen before"


def alone(case: str) -> str:
    """Return the name of *case* with one request at a time."""
    return f"{case}, one at a time"


def run(session: Session) -> Outcome:
    """Load the application and every proxy in turn, and count the answers per second."""
    latencies: dict[str, Samples] = {"p50": {}, "p99": {}}
    with ExitStack() as stack:
        client = Client(stack)
        once, many = [session.pair.request(PATH)], session.pair.distinct(PATH, NEW_TOKENS)
        client.keep("question", [_question(request) for request in once])
        client.keep("new questions", [_question(request) for request in many])
        client.keep("unsigned", [SignedRequest(PREFIX + PATH, "", [(b"host", b"localhost")])])
        call = invocation_body("", "Ada")
        client.keep("seen", [request._replace(path=PREFIX + PATH) for request in once], call)
        client.keep("new", [request._replace(path=PREFIX + PATH) for request in many], call)
        barest_app = uvicorn("benchmarks.servers.served:app", "--no-access-log")
        barest = stack.enter_context(serve(*barest_app, env=environment("bare", session))).port
        # hypercorn must not close a connection, with the requests on it, because it was idle or has served many.
        options = ("--config=python:benchmarks.servers.hypercorn_config", "--log-level=ERROR", "--keep-alive=3600")
        sdk = hypercorn("benchmarks.servers.served:app", *options)
        service = stack.enter_context(serve(*sdk, env=environment("handler", session))).port
        edge = _edge(stack, "nginx", session)
        client.load(edge, "unsigned", 0.02, expect="401")
        loads = [(BAREST, barest, "question", CONNECTIONS)]
        loads += [(SEEN, edge, "question", CONNECTIONS), (NEW, edge, "new questions", CONNECTIONS)]
        for proxy in INSTALLED:
            guarded = _proxy(stack, proxy, service, edge if proxy == "nginx" else _edge(stack, proxy, session))
            client.load(guarded, "unsigned", 0.02, expect="401")
            open_to_all = _proxy(stack, proxy, service, None)
            loads += [
                (without(proxy), open_to_all, "seen", CONNECTIONS),
                (seen(proxy), guarded, "seen", CONNECTIONS),
                (f"{proxy}: asks, new tokens", guarded, "new", CONNECTIONS),
                (alone(without(proxy)), open_to_all, "seen", 1),
                (alone(seen(proxy)), guarded, "seen", 1),
            ]
        if session.node and shutil.which("npm") and "nginx" in INSTALLED:
            with_keys, without_keys = (
                _of_an_sdk(stack, (NODE, os.fspath(installed_service() / program)), session)
                for program in ("service.mjs", "unguarded.mjs")
            )
            verifying, asking = _proxy(stack, "nginx", with_keys, None), _proxy(stack, "nginx", without_keys, edge)
            client.load(verifying, "unsigned", 0.02, expect="401")
            loads += [(TYPESCRIPT, verifying, "seen", CONNECTIONS), (ASKING_FIRST, asking, "seen", CONNECTIONS)]
        cases = []
        for name, port, requests, connections in loads:
            load = functools.partial(
                client.load, port, requests, session.scale.served, expect="200", connections=connections
            )
            cases.append(load_case(name, load, latencies))
        samples = session.interleave(cases, rounds=min(ROUNDS, session.scale.rounds), warm_up=WARM_UP)
    outcome = load_outcome(samples, latencies)
    outcome.notes.append(
        f"{CONNECTIONS} connections, HTTP/1.1 kept alive; behind each proxy a handler of the Python SDK answers under "
        "hypercorn over HTTP/2; client, proxy, edge and service share the machine"
    )
    return outcome


def _question(request: SignedRequest) -> SignedRequest:
    """Return what nginx asks about *request*."""
    return request._replace(path="/", headers=[*request.headers, (b"x-original-uri", (PREFIX + request.path).encode())])


def _of_an_sdk(stack: ExitStack, command: tuple[str, ...], session: Session) -> int:
    return stack.enter_context(served(command, str(session.pair.public))).port


def _edge(stack: ExitStack, proxy: str, session: Session) -> int:
    command = (sys.executable, "-m", "restate_identity", "edge", "--behind", proxy, "--prefix", PREFIX)
    env = {"RESTATE_IDENTITY_KEYS": str(session.pair.public)}
    return stack.enter_context(serve(*command, "--listen", "127.0.0.1:{port}", env=env)).port


def _proxy(stack: ExitStack, proxy: str, service: int, edge: int | None) -> int:
    """Run *proxy*, which asks on the port *edge*, or nobody; return its own port."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    configuration = folder / "configuration"
    configuration.mkdir()
    for file in (CONFIGURATIONS / proxy).iterdir():
        text = file.read_text("utf-8")
        name, asking, instead = ASKING[proxy]
        if edge is None and file.name == name:
            text, count = re.subn(asking, instead, text, flags=re.DOTALL)
            assert count == 1, f"{proxy} asks in another way"
        (configuration / file.name).write_text(text, "utf-8")
    port = free_port()
    stack.enter_context(proxied(proxy, configuration, folder, port=port, upstream=service, edge=edge or free_port()))
    wait_for_its_routes(port)
    return port
