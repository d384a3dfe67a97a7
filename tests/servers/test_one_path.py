"""With real servers and frameworks, a handler runs only if its own path was signed or is exempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.servers.frameworks.attacks import SEED, Access, known
from tests.servers.frameworks.fuzzer import SIGNER, LambdaTarget, Target, attack, drawn, opened
from tests.servers.frameworks.routes import (
    DISCOVER,
    DISCOVER_HANDLER,
    HEALTH,
    HEALTH_HANDLER,
    LAST_SEGMENT,
    NONE,
    ONLY_THE_END,
    OPEN,
    PREFIX,
    SDK_HEALTH_CHECK,
    SECRET,
    handler_that_ran,
)
from tests.servers.frameworks.servers import ASGI_FRAMEWORKS, COMMANDS, ENDPOINTS, Endpoint, served
from tests.support.lambda_events import SOURCES

# For each application behind each server, beside all that are known by name.
RELATED, MUTATED = 40, 40

HTTP = [(endpoint, name) for endpoint in ENDPOINTS if endpoint.http for name in endpoint.frameworks]
(LAMBDA,) = (endpoint for endpoint in ENDPOINTS if not endpoint.http)
PAIRS = [*HTTP, *((LAMBDA, name) for name in LAMBDA.frameworks)]
SIGNED = (OPEN, SECRET, DISCOVER_HANDLER, HEALTH_HANDLER, DISCOVER)

# They route on the path as it was sent, where an escape is another name.
NOT_DECODING = ("sanic", "blacksheep")
# What an adapter cannot read has no genuine requests.
UNREADABLE = {"mangum": ("restate",), "sdk": ("http_api", "load_balancer_multi_value")}


def named(pair: tuple[Endpoint, str]) -> str:
    return f"{pair[1]} behind {pair[0]}"


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with served(COMMANDS, identity_key=str(SIGNER.public_key)) as ports:
        yield ports


@pytest.fixture(scope="module")
def target_of(ports: dict[str, int]) -> Iterator[Callable[[Endpoint], Target]]:
    targets: dict[Endpoint, Target] = {}

    def target_of(endpoint: Endpoint) -> Target:
        if endpoint not in targets:
            targets[endpoint] = opened(endpoint, ports)
        return targets[endpoint]

    yield target_of
    for target in targets.values():
        target.close()


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_no_handler_runs_whose_own_path_was_not_signed_and_is_not_exempt(
    target_of: Callable[[Endpoint], Target], pair: tuple[Endpoint, str]
) -> None:
    endpoint, framework = pair
    target, seed = target_of(endpoint), f"{SEED} {named(pair)}"
    if isinstance(target, LambdaTarget):
        target.seed(seed)
    ran_before, retried_before = target.handlers_that_ran(), target.retried()

    tally = attack(target, framework, drawn(seed, RELATED, MUTATED))

    assert tally.without_right == []
    # And none ran unseen, with a response that did not say so or did not come.
    unseen = target.handlers_that_ran() - ran_before - tally.ran
    assert unseen <= target.retried() - retried_before
    # Requests that the server refuses itself show nothing. A dependency sees only requests that have a route.
    assert tally.statuses[401] + tally.statuses[404] > tally.sent / 4


@pytest.mark.parametrize("pair", HTTP, ids=named)
def test_each_handler_runs_for_every_plain_target_with_its_own_token_and_the_exempt_one_for_anybody(
    target_of: Callable[[Endpoint], Target], pair: tuple[Endpoint, str]
) -> None:
    endpoint, framework = pair
    target = target_of(endpoint)
    for path in SIGNED:
        for sent in (path, PREFIX + path, f"{path}?a=/b&c#d", f"{PREFIX}{path}?"):
            reply = target.ask(framework, sent.encode(), Access(NONE, path))
            assert (reply.status, handler_that_ran(reply.body)) == (200, path), sent
    for sent in ("/invoke/%41/open", "/invoke/%41/op%65n?a", "/%6dounted/invoke/A/open"):
        reply = target.ask(framework, sent.encode(), Access(NONE, OPEN))
        expected = (404, None) if framework in NOT_DECODING else (200, OPEN)
        assert (reply.status, handler_that_ran(reply.body)) == expected, sent
    for sent in (HEALTH, PREFIX + HEALTH, f"{HEALTH}?a=/b"):
        for exemption in (LAST_SEGMENT, SDK_HEALTH_CHECK):
            reply = target.ask(framework, sent.encode(), Access(exemption, None))
            assert (reply.status, handler_that_ran(reply.body)) == (200, HEALTH), sent
        assert target.ask(framework, sent.encode(), Access(NONE, None)).status == 401


@pytest.mark.parametrize("framework", LAMBDA.frameworks)
def test_each_handler_runs_for_the_genuine_events_of_every_source(
    target_of: Callable[[Endpoint], Target], framework: str
) -> None:
    target = target_of(LAMBDA)
    assert isinstance(target, LambdaTarget)
    for source in SOURCES:
        if source in UNREADABLE.get(framework.partition("-")[0], ()):
            continue
        for path in SIGNED:
            for sent in (path, PREFIX + path):
                status, body = target.invoke(framework, source, sent, Access(NONE, path))
                assert (status, handler_that_ran(body.encode())) == (200, path), (source, sent)
        for exemption in (LAST_SEGMENT, SDK_HEALTH_CHECK):
            status, body = target.invoke(framework, source, HEALTH, Access(exemption, None))
            assert (status, handler_that_ran(body.encode())) == (200, HEALTH), source
        assert target.invoke(framework, source, HEALTH, Access(NONE, None))[0] == 401


def test_the_known_attacks_get_past_a_guard_that_looks_at_the_end_of_the_path_only(
    target_of: Callable[[Endpoint], Target],
) -> None:
    fallen: set[tuple[str, str, str]] = set()
    for endpoint in ENDPOINTS:
        if endpoint.frameworks is not ASGI_FRAMEWORKS:
            continue
        for framework in ("sanic", "quart", "litestar", "blacksheep"):
            target = target_of(endpoint)
            naive = [
                known_attack._replace(access=known_attack.access._replace(exemption=ONLY_THE_END))
                for known_attack in known()
            ]
            for ran in attack(target, framework, naive).without_right:
                fallen.add((framework, str(endpoint), ran.handler))

    for server in ("uvicorn h11, HTTP/1", "hypercorn, HTTP/1", "hypercorn, HTTP/2"):
        assert {("sanic", server, SECRET), ("quart", server, SECRET)} <= fallen
    for server in map(str, (endpoint for endpoint in ENDPOINTS if endpoint.frameworks is ASGI_FRAMEWORKS)):
        assert {("litestar", server, DISCOVER_HANDLER), ("blacksheep", server, DISCOVER_HANDLER)} <= fallen
