"""An edge that takes a question and never answers it: each proxy must give up, and refuse the request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from restate_identity.signing import RequestSigner
from tests.support.edge import Edge, Service, running_edge, running_service
from tests.support.edge_proxies import INSTALLED, PREFIX, proxy
from tests.support.wire import Http2Exchange

PATH = "/invoke/Greeter/greet"
# In seconds. Traefik's own limit is 30 s and cannot be set; the configurations of the others have one of 5 s.
PATIENCE = dict.fromkeys(INSTALLED, 20.0) | {"traefik": 60.0}

Waiting = dict[str, tuple[Http2Exchange, Edge]]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture(scope="module")
def waiting(service: Service) -> Iterator[Waiting]:
    """All proxies wait at the same time, so that the tests take only as long as the slowest."""
    signer = RequestSigner.generate()
    with ExitStack() as running:
        exchanges: Waiting = {}
        for name in INSTALLED:
            edge = running.enter_context(running_edge(name, signer))
            port = running.enter_context(proxy(name, edge=edge.port, service=service.port))
            edge.asked.clear()
            edge.held.clear()
            running.callback(edge.held.set)
            exchange = Http2Exchange(
                *(port, "POST", PREFIX + PATH, signer.headers(PATH).items()), timeout=PATIENCE[name]
            )
            running.push(exchange)
            exchanges[name] = (exchange, edge)
            give_up_at = time.monotonic() + 20
            while not edge.asked:
                assert time.monotonic() < give_up_at, f"{name} asks nobody"
                time.sleep(0.02)
        yield exchanges


@pytest.mark.parametrize("name", sorted(INSTALLED, key="traefik".__eq__))
def test_an_edge_that_never_answers_means_no(name: str, waiting: Waiting, service: Service) -> None:
    exchange, edge = waiting[name]
    assert exchange.status() in (500, 502, 503, 504)
    # To ask again would only take as long again.
    assert len(edge.asked) == 1
    assert service.received == []
