"""Which request goes where, what the application is told, and what is refused before it."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Any

import pytest
from h2.errors import ErrorCodes

from restate_identity import current_identity
from restate_identity.asgi import ENDS_EARLY, ASGIApp, Receive, RequestIdentityMiddleware, Scope, Send
from restate_identity.signing import RequestSigner
from restate_identity.tunnel.beyond_asgi import FORWARDED, Forwarded
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE
from restate_identity.tunnel.state import ConnectionState
from tests.tunnel.cloud import PREFIX, Response, StreamResetError
from tests.tunnel.dialling import ECHO, run, serving, until

SIGNER = RequestSigner.generate()
INVOKE = "/invoke/Greeter/greet"


class Recording:
    """An application that answers 200 and remembers what it was told."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.audiences: list[str | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        self.scopes.append(scope)
        identity = current_identity()
        self.audiences.append(identity.audience if identity else None)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})


def guarded(app: ASGIApp) -> RequestIdentityMiddleware:
    return RequestIdentityMiddleware(app, identity_keys=[str(SIGNER.public_key)])


def answered(app: ASGIApp, path: str, headers: Any = (), *, method: str = "POST") -> Response:
    """Return the answer to one request through a tunnel that serves *app*."""
    responses: list[Response] = []

    async def test() -> None:
        async with serving(app) as (_, line):
            responses.append(await line.request(path, headers, method=method))

    run(test())
    return responses[0]


def test_a_signed_invocation_is_routed_on_the_path_without_the_tunnels_part() -> None:
    app = Recording()
    assert answered(guarded(app), PREFIX + INVOKE, SIGNER.headers(INVOKE)).status == 200
    assert app.scopes[0]["path"] == INVOKE
    assert app.scopes[0]["restate_identity"].audience == INVOKE


async def test_a_long_header_is_sent_without_huffman_for_which_everybody_would_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = b"long" * 1000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-long", value)]})
        await send({"type": "http.response.body"})

    async with serving(app) as (_, line):
        wire = bytearray()
        receive_data = line.h2.receive_data

        def recorded(data: bytes) -> Any:
            wire.extend(data)
            return receive_data(data)

        monkeypatch.setattr(line.h2, "receive_data", recorded)
        assert (await line.request(ECHO)).headers["x-long"] == value.decode()
        assert value in wire


def test_a_request_without_an_identity_is_refused() -> None:
    app = Recording()
    assert answered(guarded(app), PREFIX + INVOKE).status == 401
    assert app.scopes == []


async def test_a_refused_request_whose_body_does_not_end_holds_nothing() -> None:
    async with serving(guarded(Recording())) as (here, line):
        refused = line.open(PREFIX + INVOKE)
        assert (await refused.whole()).body == b'{"error":"unauthorized"}'
        await line.until(lambda: refused.over)
        assert refused.reset_code == ErrorCodes.NO_ERROR
        await until(lambda: here.connection.in_flight == 0)
        assert (await line.request(PREFIX + INVOKE, SIGNER.headers(INVOKE))).status == 200


@pytest.mark.parametrize("tail", [INVOKE, "/discover"])
def test_an_identity_that_is_signed_over_the_whole_path_of_the_tunnel_is_refused(tail: str) -> None:
    app = Recording()
    now = int(time.time())
    header = {"typ": "JWT", "alg": "EdDSA", "kid": str(SIGNER.public_key)}
    statuses = {}
    for audience in (tail, PREFIX + tail):
        claims = {"aud": audience, "iat": now, "nbf": now - 60, "exp": now + 60}
        headers = {"x-restate-signature-scheme": "v1", "x-restate-jwt-v1": SIGNER.sign_jws(header, claims)}
        statuses[audience] = answered(guarded(app), PREFIX + tail, headers).status
    assert statuses == {tail: 200, PREFIX + tail: 401}
    assert len(app.scopes) == 1


@pytest.mark.parametrize("path", ["/_/health", "/_/health?a=b"])
def test_the_health_of_the_tunnel_is_not_the_applications_business(path: str) -> None:
    app = Recording()
    response = answered(guarded(app), path, method="GET")
    assert (response.status, app.scopes) == (200, [])


@pytest.mark.parametrize("path", ["/discover", INVOKE, "/", "/_/unknown", "/http/in-process/port/discover"])
def test_a_path_without_the_prefix_is_a_bad_request_that_the_log_explains(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = Recording()
    assert answered(app, path, SIGNER.headers("/discover")).status == 400
    assert "answers 400: the path does not " in caplog.text
    assert app.scopes == []


async def test_the_control_paths_are_nothing_special_behind_the_prefix() -> None:
    app = Recording()
    async with serving(app) as (here, line):
        for path in ("/_/health", "/_/drain-tunnel", "/_/start-tunnel"):
            assert (await line.request(PREFIX + path, method="GET")).body == b"served"
        assert here.connection.state is ConnectionState.SERVING
        assert [scope["path"] for scope in app.scopes] == ["/_/health", "/_/drain-tunnel", "/_/start-tunnel"]


def test_the_application_is_told_what_a_server_would_tell_it() -> None:
    app = Recording()
    headers = [("x-awkward", "a, b"), ("x-awkward", "c"), ("accept", "*/*")]
    answered(app, f"{PREFIX}/a%2Fb/%C3%BC?x=%20&y", headers, method="PUT")
    assert app.scopes == [
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "2",
            "method": "PUT",
            "scheme": "https",
            "path": "/a/b/ü",
            "raw_path": b"/a%2Fb/%C3%BC",
            "query_string": b"x=%20&y",
            "root_path": "",
            "headers": [
                (b"host", b"tunnel.test"),
                (b"x-awkward", b"a, b"),
                (b"x-awkward", b"c"),
                (b"accept", b"*/*"),
            ],
            "client": None,
            "server": ("in-process", 9080),
            "extensions": {ENDS_EARLY: {}, FORWARDED: Forwarded((b"http", b"in-process", b"9080"), True)},
        }
    ]


def test_a_host_header_is_not_doubled() -> None:
    app = Recording()
    answered(app, f"{PREFIX}/a", [("host", "tunnel.test")])
    assert app.scopes[0]["headers"] == [(b"host", b"tunnel.test")]


async def test_a_host_that_is_not_the_authority_is_passed_on() -> None:
    app = Recording()
    async with serving(app) as (_, line):
        line.h2.config.validate_outbound_headers = False
        assert (await line.request(f"{PREFIX}/a", [("host", "elsewhere.test")])).status == 200
        assert app.scopes[0]["headers"] == [(b"host", b"elsewhere.test")]


@pytest.mark.parametrize(
    ("field", "served"),
    [
        (("x-fine", "yes"), True),
        (("0-digit", "first"), True),
        (("X-Upper", "case"), False),
        (("x bad", "name"), False),
        (("", "no name"), False),
        (("x-a", "a\r\nx-b: b"), False),
        (("x-a", "a\0"), False),
        *(((name, "close"), False) for name in ("connection", "keep-alive", "proxy-connection", "upgrade")),
        (("transfer-encoding", "chunked"), False),
        ((":path", "/http/in-process/9080/b"), False),
        ((":unknown", "pseudo"), False),
    ],
)
async def test_a_malformed_request_is_a_bad_request_and_the_connection_serves_on(
    field: tuple[str, str], served: bool
) -> None:
    app = Recording()
    async with serving(app) as (_, line):
        line.h2.config.normalize_outbound_headers = line.h2.config.validate_outbound_headers = False
        assert (await line.request(ECHO, [field])).status == (200 if served else 400)
        assert len(app.scopes) == (1 if served else 0)
        assert (await line.request(ECHO)).status == 200


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 431)])
def test_header_lists_above_the_limit_are_refused(size: int, status: int) -> None:
    app = Recording()
    others = {":method": "POST", ":scheme": "https", ":authority": "tunnel.test", ":path": ECHO, "x-large": ""}
    value = "x" * (size - sum(len(name) + len(value) + 32 for name, value in others.items()))
    assert answered(app, ECHO, [("x-large", value)]).status == status
    assert [dict(scope["headers"])[b"x-large"] for scope in app.scopes] == ([value.encode()] if status == 200 else [])


async def fails(*_: Any) -> None:
    raise RuntimeError("the application's own")


async def says_nothing(*_: Any) -> None:
    pass


async def sends_an_invalid_header(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"a\r\nx-b: b")]})


async def sends_an_invalid_name(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b":status", b"204")]})


async def sends_a_body_first(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.body", "body": b"first"})


async def sends_something_else(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})


FAILING = [
    fails,
    says_nothing,
    sends_an_invalid_header,
    sends_an_invalid_name,
    sends_a_body_first,
    sends_something_else,
]


@pytest.mark.parametrize("app", FAILING)
def test_an_application_that_fails_before_it_answers_is_an_internal_error(
    app: ASGIApp, caplog: pytest.LogCaptureFixture
) -> None:
    assert answered(app, ECHO).status == 500
    assert [record.levelname for record in caplog.records if record.name == "restate_identity.tunnel"] == ["ERROR"]


def test_the_log_names_the_header_that_is_not_valid(caplog: pytest.LogCaptureFixture) -> None:
    answered(sends_an_invalid_name, ECHO)
    assert "the response header ':status' is not valid" in caplog.text


async def test_after_an_application_failed_the_connection_serves_on() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (fails if scope["path"] == "/fails" else Recording())(scope, receive, send)

    async with serving(app) as (here, line):
        assert (await line.request(f"{PREFIX}/fails")).status == 500
        assert (await line.request(f"{PREFIX}/works")).status == 200
        await until(lambda: here.connection.in_flight == 0)


def test_headers_of_an_http1_connection_are_left_out_and_names_are_in_lower_case() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        headers = [(b"Connection", b"close"), (b"Transfer-Encoding", b"chunked"), (b"X-Kept", b" yes ")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    assert answered(app, ECHO).headers == {":status": "200", "x-kept": "yes"}


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_an_answer_that_has_no_body_gets_none(method: str, status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"too much"})

    response = answered(app, ECHO, method=method)
    assert (response.status, response.body) == (status, b"")


LENGTH = b"content-length"


@pytest.mark.parametrize(("status", "kept"), [(200, True), (203, True), (204, False), (205, True), (304, False)])
def test_an_answer_that_has_no_body_has_no_length(status: int, kept: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        headers = [(b"x-a", b"b"), (b"Content-Length", b"3")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"all"})

    response = answered(app, ECHO)
    assert response.headers == {":status": str(status), "x-a": "b", **({"content-length": "3"} if kept else {})}
    assert response.body == (b"all" if kept else b"")


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ([(LENGTH, b"3"), (LENGTH, b"4")], "a malformed content-length"),
        ([(LENGTH, b"three")], "a malformed content-length"),
        ([(LENGTH, b"-1")], "a malformed content-length"),
        ([(b"x-a", b"b" * (MAX_HEADER_LIST_SIZE - 34))], "a header list of more than 65536 bytes"),
    ],
)
async def test_a_head_that_no_server_takes_is_a_500_beside_its_neighbours(
    headers: list[tuple[bytes, bytes]], complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        fields = headers if scope["path"] == "/odd" else []
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"all"})

    async with serving(app) as (_, line):
        assert (await line.request(f"{PREFIX}/odd")).status == 500
        assert (await line.request(ECHO)).body == b"all"
    assert caplog.messages == ["the application failed on '/odd'"]
    assert complaint in caplog.text


@pytest.mark.parametrize("parts", [[b"fo", b"ur"], [b"four", b""], [b"tw"]])
async def test_a_body_of_another_length_than_its_head_says_is_reset_beside_its_neighbours(
    parts: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        length = b"3" if scope["path"] == "/odd" else b"%d" % sum(map(len, parts))
        await send({"type": "http.response.start", "status": 200, "headers": [(LENGTH, length)]})
        for part in parts[:-1]:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": parts[-1]})

    async with serving(app) as (_, line):
        exchange = line.open(f"{PREFIX}/odd", end=True)
        with pytest.raises(StreamResetError) as error:
            await exchange.whole()
        assert error.value.args == (ErrorCodes.INTERNAL_ERROR,)
        assert "the length of the response's body differs from its content-length" in caplog.text
        assert (await line.request(ECHO)).body == b"".join(parts)


def test_a_length_in_the_answer_to_head_is_that_of_another_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": [(LENGTH, b"3")]})
        await send({"type": "http.response.body"})

    assert answered(app, ECHO, method="HEAD").headers == {":status": "200", "content-length": "3"}


async def test_a_caller_that_has_gone_is_no_mistake_of_the_body(caplog: pytest.LogCaptureFixture) -> None:
    done = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": [(LENGTH, b"3")]})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body"})
        done.set()

    async with serving(app) as (_, line):
        exchange = line.open(ECHO)
        await exchange.response()
        exchange.reset()
        await asyncio.wait_for(done.wait(), 30)
    assert caplog.messages == []


def test_an_application_may_take_several_turns_at_its_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200})
        for part in (b"a", b"", b"b"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    assert answered(app, ECHO).body == b"ab"


@pytest.mark.parametrize(
    "message",
    [{"type": "http.response.body", "body": b"more"}, {"type": "http.response.start", "status": 200}],
)
def test_an_application_that_goes_on_after_its_answer_is_told(message: dict[str, Any]) -> None:
    errors: list[RuntimeError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"all"})
        try:
            await send(message)
        except RuntimeError as error:
            errors.append(error)

    assert answered(app, ECHO).body == b"all"
    assert len(errors) == 1


@pytest.mark.parametrize("status", [-5, 0, 99, 100, 101, 103, 199, 1000, "200", None, 200.5])
async def test_a_status_that_cannot_end_a_request_is_a_500_beside_its_neighbours(status: Any) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": status if scope["path"] == "/odd" else 200})
        await send({"type": "http.response.body", "body": b"all"})

    async with serving(app) as (_, line):
        assert (await line.request(f"{PREFIX}/odd")).status == 500
        assert (await line.request(ECHO)).body == b"all"


@pytest.mark.parametrize("status", [HTTPStatus.OK, 299, 999])
def test_a_status_of_three_digits_is_passed_on(status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body"})

    assert answered(app, ECHO).status == status
