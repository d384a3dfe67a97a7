"""Send one suite of requests to every adapter, each behind real servers: all must give the same answers.

Lambda has no server to run: there the handler is called with the events of each source, as JSON.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import pytest

from restate_identity import Reason, current_identity
from restate_identity.aws_lambda import require_request_identity
from tests.support.forge import KEY
from tests.support.lambda_events import SOURCES
from tests.support.request_cases import CASES
from tests.support.servers import REFUSAL, Answer, gunicorn, serve, uvicorn, waitress

# Above the sizes of the suite, so that the adapters answer and not the servers.
GUNICORN_LIMITS = ("--limit-request-fields=32768", "--limit-request-field_size=65536")
UVICORN_LIMITS = ("--h11-max-incomplete-event-size=1000000",)

SERVERS = {
    "asgi, uvicorn": uvicorn("tests.support.apps.asgi:app", *UVICORN_LIMITS),
    "wsgi, gunicorn": gunicorn("tests.support.apps.wsgi:app", *GUNICORN_LIMITS),
    "wsgi, waitress": waitress("tests.support.apps.wsgi:app"),
    "django, gunicorn": gunicorn("tests.support.apps.django_project:wsgi", *GUNICORN_LIMITS),
    "django, uvicorn": uvicorn("tests.support.apps.django_project:asgi", *UVICORN_LIMITS),
    "fastapi, uvicorn": uvicorn("tests.support.apps.fastapi_app:app", *UVICORN_LIMITS),
}
# A load balancer without multi-value headers keeps the last value of a repeated header: nothing is left to see.
LAMBDA_SOURCES = {f"lambda, {name}": make for name, make in SOURCES.items() if name != "load_balancer"}


class Adapter(Protocol):
    """What serves the cases: an application behind an adapter."""

    def request(self, path: str, headers: Any, *, method: str, body: bytes) -> Answer: ...

    def refusals(self, count: int) -> list[str]: ...


class LambdaFunction(logging.Handler):
    """A function that is invoked by one source of events."""

    def __init__(self, make_event: Callable[..., dict[str, Any]]) -> None:
        super().__init__()
        self._make_event = make_event
        self._handler = require_request_identity(_serve, identity_keys=[KEY], exempt_paths=["/open"])
        self._reasons: list[str] = []

    def request(self, path: str, headers: Any, *, method: str, body: bytes) -> Answer:
        texts = [(name, value.decode("latin-1") if isinstance(value, bytes) else value) for name, value in headers]
        event = {**self._make_event(path.partition("?")[0], texts, body), "httpMethod": method}
        if "rawPath" in event:
            del event["httpMethod"]
        answer = json.loads(json.dumps(self._handler(json.loads(json.dumps(event)), None)))
        sent = answer.get("headers") or {name: value for name, [value] in answer["multiValueHeaders"].items()}
        content = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
        return Answer(answer["statusCode"], sent, content)

    def refusals(self, count: int) -> list[str]:
        assert len(self._reasons) >= count
        return self._reasons

    def emit(self, record: logging.LogRecord) -> None:
        self._reasons += REFUSAL.findall(f"{record.name}: {record.getMessage()}")


def _serve(event: Any, context: Any) -> dict[str, Any]:  # noqa: ARG001
    identity = current_identity()
    seen = identity and {"key": identity.key, "audience": identity.audience, "subject": identity.subject}
    body = json.dumps({"app": "ran", "identity": seen, "current_identity_agrees": True})
    return {"statusCode": 200, "headers": {}, "multiValueHeaders": {}, "body": body, "isBase64Encoded": False}


@contextmanager
def invoked(make_event: Callable[..., dict[str, Any]]) -> Iterator[LambdaFunction]:
    function = LambdaFunction(make_event)
    logger = logging.getLogger("restate_identity")
    logger.addHandler(function)
    try:
        yield function
    finally:
        logger.removeHandler(function)


@pytest.fixture(scope="module", params=[*SERVERS, *LAMBDA_SOURCES])
def adapter(request: pytest.FixtureRequest) -> Iterator[tuple[str, Adapter]]:
    name = request.param
    started: AbstractContextManager[Adapter] = (
        serve(*SERVERS[name], identity_key=KEY) if name in SERVERS else invoked(LAMBDA_SOURCES[name])
    )
    with started as running:
        yield name, running


def test_every_adapter_gives_the_same_answers(adapter: tuple[str, Adapter]) -> None:
    name, served = adapter
    for case in CASES:
        if case.differs_on_lambda and name in LAMBDA_SOURCES:
            case = case._replace(reason=Reason.WRONG_AUDIENCE)
        before = len(served.refusals(0))
        answer = served.request(case.path, case.headers(), method=case.method, body=case.body)
        assert answer.status == case.status, (case.name, answer)
        if case.reason is None:
            assert json.loads(answer.body) == {
                "app": "ran",
                "identity": case.audience and {"key": KEY, "audience": case.audience, "subject": case.subject},
                "current_identity_agrees": True,
            }, case.name
            assert len(served.refusals(0)) == before, case.name
        else:
            assert answer.body == b'{"error":"unauthorized"}', case.name
            assert answer.headers["content-type"] == "application/json", case.name
            assert answer.headers["content-length"] == "24", case.name
            assert answer.headers["www-authenticate"] == "RestateRequestIdentity", case.name
            assert served.refusals(before + 1)[before:] == [case.reason], case.name


def test_the_cases_cover_every_reason_that_default_options_can_give() -> None:
    assert {case.reason for case in CASES} == {None, *Reason} - {Reason.TOO_OLD}
