"""`restate_identity.restate_sdk.app` replaces `restate.app`."""

from __future__ import annotations

import asyncio
import base64
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import restate
from fastapi import FastAPI
from hypothesis import example, given
from hypothesis import strategies as st
from restate.entry_codec import JournalValueCodec
from restate.server import LifeSpanNotImplemented, parse_path

from restate_identity import Reason, VerificationError, current_identity
from restate_identity.guard import REFUSAL_BODY, REFUSAL_HEADERS
from restate_identity.restate_sdk import app, is_health_check
from restate_identity.signing import RequestSigner
from tests.support.invocation import CONTENT_TYPE, MANIFEST_TYPE, invocation_body
from tests.support.notes import Notes

SIGNER = RequestSigner.generate()
KEY = str(SIGNER.public_key)
GREET = "/invoke/Greeter/greet"
INVOKE = {"content-type": CONTENT_TYPE}
DISCOVER = {"accept": MANIFEST_TYPE}

greeter = restate.Service("Greeter")
counter = restate.VirtualObject("Counter")
calls: list[str] = []


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:  # noqa: ARG001
    calls.append(name)
    identity = current_identity()
    return f"{name} through {identity.audience if identity else 'no guard'}"


@greeter.handler()
async def measure(ctx: restate.Context, name: str) -> str:
    def action() -> str:
        identity = current_identity()
        return f"{name} through {identity.audience if identity else 'no guard'}"

    return await ctx.run_typed("measure", action)


@greeter.handler()
async def health(ctx: restate.Context, name: str) -> str:  # noqa: ARG001
    calls.append(name)
    return "well"


@counter.handler()
async def add(ctx: restate.ObjectContext, amount: int) -> str:
    calls.append(ctx.key())
    identity = current_identity()
    return f"{amount} for {identity.subject if identity else 'nobody'}"


signup = restate.Workflow("Signup")


@signup.main()
async def submit(ctx: restate.WorkflowContext, amount: int) -> str:
    calls.append(ctx.key())
    return f"{amount} for {ctx.key()}"


@signup.handler()
async def look(ctx: restate.WorkflowSharedContext, amount: int) -> str:
    calls.append(ctx.key())
    return f"{amount} for {ctx.key()}"


@pytest.fixture(autouse=True)
def _no_calls_yet() -> Iterator[None]:
    calls.clear()
    yield
    calls.clear()


async def _requested(served: Any, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.request(method, path, headers=headers, content=body)


def discover(served: Any, path: str = "/discover", headers: dict[str, str] | None = None) -> httpx.Response:
    return asyncio.run(_requested(served, "GET", path, {**DISCOVER, **(headers or {})}, b""))


def invoke(served: Any, path: str, headers: dict[str, str], argument: object, key: str = "") -> httpx.Response:
    body = invocation_body(key, argument)
    return asyncio.run(_requested(served, "POST", path, {**INVOKE, **headers}, body))


def test_a_signed_invocation_reaches_the_handler_which_sees_the_identity() -> None:
    served = app([greeter], identity_keys=[KEY])
    response = invoke(served, GREET, SIGNER.headers(GREET), "Ada")
    assert response.status_code == 200
    assert b"Ada through /invoke/Greeter/greet" in response.content


def test_a_handler_of_a_virtual_object_sees_the_key_that_was_signed() -> None:
    served = app([greeter, counter], identity_keys=[KEY])
    response = invoke(served, "/invoke/Counter/add", SIGNER.headers("/invoke/Counter/add", subject="a/b"), 3, key="a/b")
    assert b"3 for a/b" in response.content


ADD, SUBMIT, LOOK = "/invoke/Counter/add", "/invoke/Signup/submit", "/invoke/Signup/look"


@pytest.mark.parametrize("path", [ADD, SUBMIT, LOOK])
@pytest.mark.parametrize(
    ("signed", "run"), [("alice", "bob"), (None, "bob"), ("alice", ""), ("a", "a "), ("É", "E\u0301")]
)
def test_a_token_for_one_object_runs_no_other_one(
    path: str, signed: str | None, run: str, caplog: pytest.LogCaptureFixture
) -> None:
    served = app([counter, signup], identity_keys=[KEY])
    response = invoke(served, path, SIGNER.headers(path, subject=signed), 3, key=run)
    assert calls == []
    assert (response.status_code, response.content) == (401, REFUSAL_BODY)
    assert {name.decode(): value.decode() for name, value in response.headers.raw} == dict(REFUSAL_HEADERS)
    (refusal,) = (record for record in caplog.records if record.name == "restate_identity")
    said = "no object" if signed is None else f"the object {signed!a}"
    assert (
        f"refused a request to '{path}': wrong_audience: signed for {said}, but the body is for the object {run!a}"
        in refusal.message
    )
    assert invoke(served, path, SIGNER.headers(path, subject=run), 3, key=run).status_code == 200
    assert calls == [run]


def test_the_observer_hears_of_a_refusal_for_another_object() -> None:
    notes = Notes()
    served = app([counter], identity_keys=[KEY], observer=notes)

    invoke(served, f"/prefix{ADD}", SIGNER.headers(ADD, subject="alice"), 3, key="bob")

    (accepted,) = notes.accepted_requests
    assert accepted[0].subject == "alice"
    ((error, path, seconds),) = notes.refused_requests
    assert (error.reason, error.kid, path, seconds) == (Reason.WRONG_AUDIENCE, KEY, ADD, 0.0)
    assert "'bob'" in error.hint

    invoke(served, ADD, SIGNER.headers(ADD, subject="alice"), 3, key="alice")
    assert (len(notes.accepted_requests), len(notes.refused_requests)) == (2, 1)


def test_an_observer_that_fails_changes_no_refusal_for_another_object(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Notes):
        def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:  # noqa: ARG002
            raise ValueError("the collector is down")

    served = app([counter], identity_keys=[KEY], observer=Broken())

    assert invoke(served, ADD, SIGNER.headers(ADD, subject="alice"), 3, key="bob").status_code == 401
    assert "the observer failed, which changes nothing for the request" in caplog.text


async def test_the_answer_to_a_genuine_call_of_an_object_begins_before_its_handler_has_ended() -> None:
    slow = restate.VirtualObject("Slow")
    began, ended = asyncio.Event(), asyncio.Event()

    @slow.handler()
    async def wait(ctx: restate.ObjectContext, amount: int) -> int:
        await ended.wait()
        calls.append(ctx.key())
        return amount

    path = "/invoke/Slow/wait"
    headers = [
        (name.encode(), value.encode()) for name, value in (INVOKE | SIGNER.headers(path, subject="bob")).items()
    ]
    scope = {"type": "http", "http_version": "2", "method": "POST", "path": path, "headers": headers}
    sent: list[Any] = []
    body = [{"type": "http.request", "body": invocation_body("bob", 3), "more_body": False}]

    async def receive() -> Any:
        return body.pop() if body else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)
        began.set()

    call = asyncio.create_task(app([slow], identity_keys=[KEY])(scope, receive, send))
    await asyncio.wait_for(began.wait(), 60)
    assert [(message["type"], message.get("status")) for message in sent] == [("http.response.start", 200)]
    assert calls == []
    ended.set()
    await asyncio.wait_for(call, 60)
    assert calls == ["bob"]


def test_over_http_2_a_refusal_for_another_object_goes_out_at_once_and_ends_with_the_body_of_the_request() -> None:
    headers = [
        (name.encode(), value.encode()) for name, value in (INVOKE | SIGNER.headers(ADD, subject="alice")).items()
    ]
    scope = {"type": "http", "http_version": "2", "method": "POST", "path": ADD, "headers": headers}
    sent: list[Any] = []
    refused = asyncio.Event()
    body: list[Any] = [{"type": "http.request", "body": b"", "more_body": False}]
    body.append({"type": "http.request", "body": invocation_body("bob", 3), "more_body": True})

    async def receive() -> Any:
        if len(body) < 2:
            await (refused.wait() if body else asyncio.Event().wait())
            for _ in range(100):
                await asyncio.sleep(0)
            # Until here the SDK may have sent more, but nothing of it ends the answer.
            assert len(sent) == 2
        return body.pop()

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == 2:
            assert (sent[0]["status"], sent[1]["body"], sent[1]["more_body"]) == (401, REFUSAL_BODY, True)
            refused.set()

    asyncio.run(asyncio.wait_for(app([counter], identity_keys=[KEY])(scope, receive, send), 60))
    assert sent[2:] == [{"type": "http.response.body"}]
    assert calls == []


def test_a_lifespan_is_left_to_the_sdk() -> None:
    for served in (restate.app([counter]), app([counter], identity_keys=[KEY])):
        with pytest.raises(LifeSpanNotImplemented):
            asyncio.run(served({"type": "lifespan"}, None, None))


def test_what_is_no_call_of_a_handler_is_answered_as_by_the_sdk() -> None:
    served = app([counter], identity_keys=[KEY])
    path = "/invoke/Counter/nothing"
    assert invoke(served, path, SIGNER.headers(path, subject="bob"), 3, key="bob").status_code == 404


@pytest.mark.parametrize("kind", [restate.VirtualObject, restate.Workflow])
def test_what_is_set_on_an_object_after_the_application_was_made_holds_in_it(kind: Any) -> None:
    late = kind("Late")
    served = app([late], identity_keys=[KEY])
    late.ingress_private = True
    late.service_tag.description = "said later"

    [discovered] = discover(served, headers=SIGNER.headers("/discover")).json()["services"]

    assert discovered["ingressPrivate"] is True
    assert discovered["documentation"] == "said later"


def test_the_key_is_compared_before_anything_of_the_handlers_own_runs() -> None:
    entered: list[str] = []

    @asynccontextmanager
    async def noting() -> AsyncIterator[None]:
        entered.append("entered")
        yield

    watched = restate.VirtualObject("Watched", invocation_context_managers=[noting])

    @watched.handler()
    async def add(ctx: restate.ObjectContext, amount: int) -> int:  # noqa: ARG001
        return amount

    path = "/invoke/Watched/add"
    served = app([watched], identity_keys=[KEY])
    assert invoke(served, path, SIGNER.headers(path, subject="alice"), 3, key="bob").status_code == 401
    assert entered == []
    invoke(served, path, SIGNER.headers(path, subject="bob"), 3, key="bob")
    assert entered == ["entered"]


def test_an_object_that_is_served_elsewhere_too_is_not_changed_there() -> None:
    app([counter], identity_keys=[KEY])
    unguarded = restate.app([counter])
    invoke(unguarded, ADD, {}, 3, key="bob")
    assert calls == ["bob"]


def test_a_handler_that_is_added_later_is_served_and_checked() -> None:
    late = restate.VirtualObject("Late")
    served = app([late], identity_keys=[KEY])

    @late.handler()
    async def add(ctx: restate.ObjectContext, amount: int) -> int:
        calls.append(ctx.key())
        return amount

    path = "/invoke/Late/add"
    for signed in ("alice", "bob"):
        invoke(served, path, SIGNER.headers(path, subject=signed), 3, key="bob")
    assert calls == ["bob"]
    discovered = discover(served, headers=SIGNER.headers("/discover")).json()
    assert [handler["name"] for handler in discovered["services"][0]["handlers"]] == ["add"]


def test_a_synchronous_action_which_the_sdk_runs_in_a_thread_sees_the_identity() -> None:
    served = app([greeter], identity_keys=[KEY])
    path = "/invoke/Greeter/measure"
    assert b"Ada through /invoke/Greeter/measure" in invoke(served, path, SIGNER.headers(path), "Ada").content


def test_an_invocation_signed_with_another_key_is_refused_and_the_handler_does_not_run() -> None:
    served = app([greeter], identity_keys=[KEY])
    assert invoke(served, GREET, RequestSigner.generate().headers(GREET), "Mallory").status_code == 401
    assert calls == []


def test_discovery_must_be_signed_too() -> None:
    served = app([greeter], identity_keys=[KEY])
    assert discover(served).status_code == 401
    response = discover(served, headers=SIGNER.headers("/discover"))
    assert [service["name"] for service in response.json()["services"]] == ["Greeter"]


@pytest.mark.parametrize("path", ["/health", "/restate/v1/health"])
def test_the_health_check_stays_open(path: str) -> None:
    response = discover(app([greeter], identity_keys=[KEY]), path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_handler_with_the_name_health_is_not_open() -> None:
    served = app([greeter], identity_keys=[KEY])
    path = "/invoke/Greeter/health"
    assert invoke(served, path, {}, "Mallory").status_code == 401
    assert calls == []
    assert invoke(served, path, SIGNER.headers(path), "Ada").status_code == 200
    assert calls == ["Ada"]


segments = st.lists(st.sampled_from(["invoke", "health", "discover", "a", ""]), max_size=6)


@given(segments.map("/".join) | st.text())
@example("/invoke/Greeter/health")
@example("/a/b/c/invoke/Greeter/health")
@example("invoke/Greeter/health")
@example("/invoke/health")
@example("/invoke/Greeter/health/health")
@example("health")
@example("/health/")
def test_exactly_what_the_sdk_answers_as_a_health_check_is_exempt(path: str) -> None:
    assert is_health_check(path) is (parse_path(path)["type"] == "health")


def test_mounted_in_fastapi_under_a_prefix_it_is_guarded_and_the_routes_beside_it_are_not() -> None:
    site = FastAPI()
    site.mount("/restate/v1", app([greeter], identity_keys=[KEY]))
    site.get("/")(lambda: "open")
    assert discover(site, "/").json() == "open"
    assert invoke(site, f"/restate/v1{GREET}", {}, "Mallory").status_code == 401
    assert invoke(site, f"/restate/v1{GREET}", SIGNER.headers(GREET), "Ada").status_code == 200
    assert discover(site, "/restate/v1/health").status_code == 200
    assert calls == ["Ada"]


@pytest.fixture
def _on_lambda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "greeter")
    yield
    # The SDK makes one for the life of the process.
    asyncio.get_event_loop().close()
    asyncio.set_event_loop(None)


def lambda_event(path: str, headers: dict[str, str], argument: object, key: str = "") -> dict[str, Any]:
    """The event with which Restate calls a handler in a Lambda function."""
    body = base64.b64encode(invocation_body(key, argument)).decode()
    return {"path": path, "httpMethod": "POST", "headers": {**INVOKE, **headers}, "body": body, "isBase64Encoded": True}


@pytest.mark.usefixtures("_on_lambda")
def test_on_lambda_it_is_a_guarded_handler_as_with_the_sdk() -> None:
    handler = app([greeter], identity_keys=[KEY])
    refused = handler(lambda_event(GREET, {}, "Mallory"), None)
    assert (refused["statusCode"], calls) == (401, [])
    served = handler(lambda_event(GREET, SIGNER.headers(GREET), "Ada"), None)
    assert served["statusCode"] == 200
    assert b"Ada through /invoke/Greeter/greet" in base64.b64decode(served["body"])


@pytest.mark.usefixtures("_on_lambda")
def test_on_lambda_a_token_for_one_object_runs_no_other_one() -> None:
    handler = app([greeter, counter], identity_keys=[KEY])
    headers = SIGNER.headers(ADD, subject="alice")
    refused = handler(lambda_event(ADD, headers, 3, key="bob"), None)
    assert (refused["statusCode"], base64.b64decode(refused["body"]), calls) == (401, REFUSAL_BODY, [])
    assert handler(lambda_event(ADD, headers, 3, key="alice"), None)["statusCode"] == 200
    assert calls == ["alice"]


@pytest.mark.usefixtures("_on_lambda")
def test_on_lambda_the_health_check_stays_open_and_a_handler_with_that_name_does_not() -> None:
    handler = app([greeter], identity_keys=[KEY])
    assert base64.b64decode(handler(lambda_event("/health", {}, ""), None)["body"]) == b'{"status":"ok"}'
    assert handler(lambda_event("/invoke/Greeter/health", {}, "Mallory"), None)["statusCode"] == 401
    assert calls == []


def test_the_protocol_is_the_one_that_was_asked_for() -> None:
    def mode(served: Any) -> str:
        protocol_mode: str = discover(served, headers=SIGNER.headers("/discover")).json()["protocolMode"]
        return protocol_mode

    assert mode(app([greeter], "bidi", [KEY])) == "BIDI_STREAM"
    assert mode(app([greeter], "request_response", [KEY])) == "REQUEST_RESPONSE"


class Base64Codec(JournalValueCodec):
    """Reads values only if they are in base64."""

    def encode(self, buf: bytes) -> bytes:
        return base64.b64encode(buf)

    async def decode(self, buf: bytes) -> bytes:
        return base64.b64decode(buf)


def test_options_that_only_the_sdk_knows_are_passed_on() -> None:
    served = app([greeter], identity_keys=[KEY], journal_value_codec=Base64Codec())
    response = invoke(served, GREET, SIGNER.headers(GREET), "not base64")
    assert b"Failed to decode input using journal value codec" in response.content


def test_an_option_that_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        app([greeter], identity_keys=[KEY], no_such_option=1)


def test_its_first_parameters_are_those_of_the_sdk() -> None:
    ours = [parameter for parameter in inspect.signature(app).parameters.values() if parameter.name != "sdk_options"]
    theirs = inspect.signature(restate.app).parameters
    assert [p.name for p in ours if p.kind is p.POSITIONAL_OR_KEYWORD] == list(theirs)[:3]
    for parameter in ours[:3]:
        assert parameter.default == theirs[parameter.name].default
