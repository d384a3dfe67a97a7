"""The ASGI middleware, called directly, for cases that no server shows or sends."""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from restate_identity import Identity, current_identity
from restate_identity.asgi import ENDS_EARLY, ASGIApp, Message, Receive, RequestIdentityMiddleware, Scope, Send
from restate_identity.paths import signed_path
from restate_identity.signing import RequestSigner

PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()
KEYS = [str(SIGNER.public_key)]

REFUSAL: list[Message] = [
    {
        "type": "http.response.start",
        "status": 401,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"24"),
            (b"www-authenticate", b"RestateRequestIdentity"),
        ],
    },
    {"type": "http.response.body", "body": b'{"error":"unauthorized"}', "more_body": False},
]
# Over HTTP/2 the same bytes, and the end when the request has ended.
OPEN_REFUSAL: list[Message] = [REFUSAL[0], {**REFUSAL[1], "more_body": True}]
END: Message = {"type": "http.response.body"}

Fields = list[tuple[bytes, bytes]]


def signature(path: str = PATH) -> Fields:
    # Some are made when the tests are collected, and used minutes later.
    return [(name.encode(), value.encode()) for name, value in SIGNER.headers(path, leeway=3600).items()]


def request(path: str = PATH, headers: Iterable[tuple[bytes, bytes]] = (), **more: Any) -> Scope:
    return {"type": "http", "method": "POST", "path": path, "headers": headers, **more}


def signed_request(path: str = PATH, **more: Any) -> Scope:
    return request(path, signature(path), **more)


class Recorder:
    """An application that records the arguments of its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Scope, Receive, Send]] = []
        self.identities: list[Identity | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls.append((scope, receive, send))
        self.identities.append(current_identity())


async def unread() -> Message:
    raise AssertionError("the body was read")


async def served(app: ASGIApp, scope: Scope, receive: Receive = unread) -> list[Message]:
    """Return what *app* sends for *scope*."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def guarded(app: ASGIApp, **options: Any) -> RequestIdentityMiddleware:
    return RequestIdentityMiddleware(app, identity_keys=KEYS, **options)


# --- the identity


async def test_the_app_sees_the_identity_during_the_call_and_nobody_afterwards() -> None:
    app = Recorder()

    await served(guarded(app), signed_request())

    assert current_identity() is None
    scope = app.calls[0][0]
    assert scope["restate_identity"].audience == PATH
    assert app.identities == [scope["restate_identity"]]


async def test_an_exception_of_the_app_comes_out_unchanged_and_the_identity_is_gone() -> None:
    error = RuntimeError("the app's own")

    async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        assert current_identity() is not None
        raise error

    with pytest.raises(RuntimeError) as raised:
        await served(guarded(failing), signed_request())
    assert raised.value is error
    assert current_identity() is None


async def test_a_cancellation_passes_through_and_the_identity_is_gone() -> None:
    cancelled: list[Identity | None] = []
    afterwards: list[Identity | None] = []
    waiting = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(current_identity())
            raise

    async def serve() -> None:
        try:
            await served(guarded(app), signed_request())
        finally:
            afterwards.append(current_identity())

    task = asyncio.create_task(serve())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [identity and identity.audience for identity in cancelled] == [PATH]
    assert afterwards == [None]


async def test_requests_that_are_served_at_once_see_each_their_own_identity() -> None:
    paths = ["/invoke/Greeter/one", "/invoke/Greeter/two"]
    entered: list[str] = []
    seen: dict[str, str | None] = {}
    all_entered = asyncio.Event()

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        entered.append(scope["path"])
        if len(entered) == len(paths):
            all_entered.set()
        await all_entered.wait()
        identity = current_identity()
        seen[scope["path"]] = identity and identity.audience

    middleware = guarded(app)
    await asyncio.gather(*(served(middleware, signed_request(path)) for path in paths))
    assert seen == {path: path for path in paths}


def test_tasks_and_threads_that_the_app_starts_inherit_the_identity() -> None:
    seen: list[Identity | None] = []

    async def in_a_task() -> None:
        seen.append(current_identity())

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.create_task(in_a_task())
        seen.append(await asyncio.to_thread(current_identity))

    asyncio.run(served(guarded(app), signed_request()))

    assert [identity and identity.audience for identity in seen] == [PATH, PATH]


def test_an_identity_that_a_client_puts_into_the_scope_is_replaced() -> None:
    app = Recorder()

    asyncio.run(served(guarded(app), signed_request(restate_identity="forged")))

    assert app.calls[0][0]["restate_identity"] == app.identities[0]


# --- a refusal


@pytest.mark.parametrize(
    "headers",
    [
        [],
        signature()[:1],
        signature()[1:],
        signature("/invoke/Greeter/other"),
        [*signature(), signature()[1]],
        [*signature(), signature()[0]],
        [(b"x-restate-jwt-v1", b""), *signature()],
        [(b"x-restate-signature-scheme", b""), *signature()],
        [*signature(), (b"X-Restate-JWT-V1", b"")],
        [(b"X-RESTATE-SIGNATURE-SCHEME", b"v1"), *signature()],
        None,
        [b"not a pair"],
        [("x-restate-signature-scheme", 1)],
    ],
)
def test_a_refused_request_over_http_1_is_answered_without_the_app_and_its_body_is_not_read(headers: Any) -> None:
    app = Recorder()

    assert asyncio.run(served(guarded(app), request(headers=headers))) == REFUSAL
    assert app.calls == []


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (signature()[:1], "missing_token"),
        (signature()[1:], "missing_scheme"),
        ([(b"a" * 16, signature()[1][1]), signature()[0]], "missing_token"),
        ([(b"z" * 16, signature()[1][1]), signature()[0]], "missing_token"),
        ([(b"a" * 26, b"v1"), signature()[1]], "missing_scheme"),
        ([(b"z" * 26, b"v1"), signature()[1]], "missing_scheme"),
    ],
)
def test_no_other_header_is_taken_for_one_of_the_two(
    headers: Fields, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert [len(name) for name, _ in signature()] == [26, 16]
    assert asyncio.run(served(guarded(Recorder()), request(headers=headers))) == REFUSAL
    assert f": {reason}: " in caplog.text


def test_headers_that_can_be_read_only_once_reach_the_app_too() -> None:
    app = Recorder()
    headers = [*signature(), (b"x-more", b"1")]
    assert asyncio.run(served(guarded(app), request(headers=iter(headers)))) == []
    assert app.calls[0][0]["headers"] == headers


def test_a_request_that_was_sent_for_another_path_than_the_app_sees_is_refused() -> None:
    assert asyncio.run(served(guarded(Recorder()), signed_request(raw_path=PATH.encode()))) == []
    assert asyncio.run(served(guarded(Recorder()), signed_request(raw_path=b"/invoke/Greeter/other"))) == REFUSAL


# --- what becomes of the body of a refused request over HTTP/2


def part(body: bytes, *, more_body: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more_body}


def refused_over_http2(*messages: Message | Exception, **more: Any) -> tuple[list[Message], int]:
    """Return the sent messages, and the number of the server's *messages* that were not received."""
    left = list(messages)

    async def receive() -> Message:
        assert sent[:2] == ([OPEN_REFUSAL[0], {**OPEN_REFUSAL[1], "body": b""}] if more else OPEN_REFUSAL)
        message = left.pop(0)
        if isinstance(message, Exception):
            raise message
        return message

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    app = Recorder()
    try:
        asyncio.run(guarded(app)(request(http_version="2", **more), receive, send))
    finally:
        assert app.calls == []
    return sent, len(left)


@pytest.mark.parametrize(
    "messages",
    [
        [part(b"", more_body=False)],
        [{"type": "http.request"}],
        [part(b"a"), part(b""), part(b"b", more_body=False)],
        [part(b"x" * 65536)] * 1000 + [part(b"", more_body=False)],
    ],
    ids=["no body", "only what must be in a message", "three parts", "64 MiB"],
)
def test_over_http2_the_whole_401_is_sent_first_and_its_end_after_the_end_of_the_request(
    messages: list[Message],
) -> None:
    assert refused_over_http2(*messages) == ([*OPEN_REFUSAL, END], 0)


def test_nothing_is_read_beyond_the_end_of_the_request() -> None:
    assert refused_over_http2(part(b"", more_body=False), part(b"of another request")) == ([*OPEN_REFUSAL, END], 1)


def test_nothing_is_sent_to_a_refused_caller_who_has_left() -> None:
    assert refused_over_http2(part(b"a"), {"type": "http.disconnect"}) == (OPEN_REFUSAL, 0)


def test_the_refusal_of_a_head_request_over_http2_has_no_body() -> None:
    sent, _ = refused_over_http2(part(b"", more_body=False), method="HEAD")
    assert [message.get("body", b"") for message in sent[1:]] == [b"", b""]


def test_an_error_of_the_server_passes_after_the_401() -> None:
    with pytest.raises(ConnectionResetError):
        refused_over_http2(part(b"a"), ConnectionResetError())


async def test_a_refusal_that_waits_for_the_end_of_the_body_can_be_cancelled() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    call = asyncio.ensure_future(guarded(Recorder())(request(http_version="2"), never, send))
    while len(sent) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert sent == OPEN_REFUSAL


def test_a_server_that_can_end_a_response_early_is_told_the_end_at_once() -> None:
    scope = request(http_version="2", extensions={ENDS_EARLY: {}})
    assert asyncio.run(served(guarded(Recorder()), scope)) == REFUSAL


async def test_what_is_done_to_the_message_of_one_refusal_does_not_show_in_the_next() -> None:
    # Middleware further up may append to the list of headers that passes it.
    middleware = guarded(Recorder())
    passed: list[Fields] = []

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"].append((b"traceresponse", b"of this request only"))
            passed.append(message["headers"])

    await middleware(request(), unread, adding)
    try:
        assert await served(middleware, request()) == REFUSAL
    finally:
        passed[0].pop()  # or every later test would fail with this one


# --- what passes through


def test_the_app_gets_the_very_receive_and_send_of_the_server() -> None:
    app = Recorder()

    async def send(_message: Message) -> None: ...

    asyncio.run(guarded(app)(signed_request(), unread, send))

    _, receive_passed, send_passed = app.calls[0]
    assert receive_passed is unread
    assert send_passed is send


@pytest.mark.parametrize("path", [PATH, "/health"])
def test_the_scope_of_the_caller_is_not_changed(path: str) -> None:
    app = Recorder()
    state = {"pool": object()}
    scope = signed_request(path, state=state, extensions={"http.response.trailers": {}})
    before = dict(scope)

    asyncio.run(served(guarded(app, exempt_paths=["/health"]), scope))

    assert scope == before
    passed = dict(app.calls[0][0])
    passed.pop("restate_identity", None)
    assert passed == before
    assert passed["state"] is state, "the lifespan's state is shared, not copied"


def test_lifespan_passes_with_the_very_scope_of_the_server() -> None:
    app = Recorder()
    scope: Scope = {"type": "lifespan", "state": {}}

    asyncio.run(served(guarded(app), scope))

    assert app.calls[0][0] is scope


@pytest.mark.parametrize("kind", ["HTTP", "http2", "webtransport", "", "lifespan "])
def test_a_scope_of_an_unknown_type_is_refused_even_on_an_exempt_path(kind: str) -> None:
    app = Recorder()

    with pytest.raises(NotImplementedError, match=f"{kind!r}"):
        asyncio.run(served(guarded(app, exempt_paths=[PATH]), signed_request(type=kind)))

    assert app.calls == []


@pytest.mark.parametrize("shape", [list, tuple, iter, lambda pairs: (pair for pair in pairs)])
def test_headers_come_as_any_iterable(shape: Callable[[Fields], Iterable[tuple[bytes, bytes]]]) -> None:
    app = Recorder()

    asyncio.run(served(guarded(app), request(headers=shape(signature()))))
    assert len(app.calls) == 1

    assert asyncio.run(served(guarded(app), request(headers=shape(signature()[:1])))) == REFUSAL
    assert len(app.calls) == 1


@pytest.mark.parametrize("spelling", [bytes.title, bytes.decode], ids=["capitals", "text"])
@pytest.mark.parametrize("position", [0, 1])
def test_headers_that_come_as_lists_and_in_another_spelling_are_read(
    spelling: Callable[[bytes], bytes | str], position: int
) -> None:
    app = Recorder()
    headers: Any = [list(pair) for pair in signature()]
    headers[position][0] = spelling(headers[position][0])

    asyncio.run(served(guarded(app), request(headers=headers)))

    assert len(app.calls) == 1


@pytest.mark.parametrize("present", [slice(0, 0), slice(0, 1), slice(1, 2)])
def test_what_is_absent_is_looked_for_once(present: slice) -> None:
    looks = 0

    class Header(tuple):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[bytes]:
            nonlocal looks
            looks += 1
            return super().__iter__()

    headers: Any = [*signature()[present], *(Header((b"a", b"")) for _ in range(100))]

    assert asyncio.run(served(guarded(Recorder()), request(headers=headers))) == REFUSAL
    assert looks == 100


# --- WebSocket


def handshake(headers: Iterable[tuple[bytes, bytes]], **more: Any) -> Scope:
    return {"type": "websocket", "path": PATH, "headers": headers, **more}


@pytest.mark.parametrize("more", [{}, {"extensions": None}, {"extensions": {}}, {"extensions": {"tls": {}}}])
def test_a_handshake_is_closed_where_the_server_cannot_send_a_response(more: dict[str, Any]) -> None:
    app = Recorder()

    assert asyncio.run(served(guarded(app), handshake([], **more))) == [{"type": "websocket.close"}]
    assert app.calls == []
    asyncio.run(served(guarded(app), handshake(signature(), **more)))
    assert len(app.calls) == 1


def test_a_handshake_is_refused_with_401_where_the_server_can_send_a_response() -> None:
    app = Recorder()
    more: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}

    sent = asyncio.run(served(guarded(app), handshake([], **more)))

    assert sent == [{**message, "type": f"websocket.{message['type']}"} for message in REFUSAL]
    assert app.calls == []
    asyncio.run(served(guarded(app), handshake(signature(), **more)))
    assert app.identities == [app.calls[0][0]["restate_identity"]]


# --- exempt paths


def test_an_exempt_request_does_not_see_the_identity_of_what_surrounds_it() -> None:
    inner = Recorder()
    exempt = guarded(inner, exempt_paths=["/health"])
    after: list[Identity | None] = []

    async def outer(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await served(exempt, request("/health"))
        after.append(current_identity())

    asyncio.run(served(guarded(outer), signed_request()))

    assert (inner.identities, inner.calls[0][0]["restate_identity"]) == ([None], None)
    assert [identity and identity.audience for identity in after] == [PATH], "it is back after the inner call"


def test_an_exempt_path_is_exempt_for_websockets_too() -> None:
    app = Recorder()

    asyncio.run(served(guarded(app, exempt_paths=[PATH]), handshake([])))

    assert len(app.calls) == 1


def test_a_path_that_the_scope_gives_otherwise_than_as_path_is_not_exempt() -> None:
    # What counts is the path that the application routes on.
    app = Recorder()
    scope = request(PATH, raw_path=b"/health", root_path="/health", query_string=b"/health")

    assert asyncio.run(served(guarded(app, exempt_paths=["/health"]), scope)) == REFUSAL
    assert app.calls == []


@pytest.mark.parametrize(
    ("path", "root_path", "is_served"),
    [
        ("/health", "", True),
        ("/health", "/", True),
        ("/health", "/elsewhere", True),
        ("/", "/elsewhere", True),
        ("/mounted/health", "/mounted", True),
        ("/mounted/health", "/mounted/", True),
        ("/mountedX/health", "/mountedX", True),
        ("/mounted/secret", "/mounted", False),
        ("/mounted/secret", "/mounted/", False),
        ("/mounted/secret", "unted", False),
        ("/mounted/secret", "/mount", False),
        # The path as it was sent may have begun with /%6Dounted, which some applications remove.
        ("/mounted/secret", "/%6Dounted", False),
        ("/mounted/health", "/%6Dounted", False),
        # Some versions of Starlette take it for a regular expression.
        ("/mounted/secret", "/mounte.", False),
        ("/mounted/health", "/(mounted)", False),
        ("/health", "/healt.", False),
        ("/v1.0/health", "/v1.0", True),
        ("/v2/health", "/v1.0", True),
        ("/health", "/v1.0.0", True),
        # asgi-tools puts it in front of the path.
        ("/health", "/invoke/greeter", False),
        ("/status", "/invoke/greeter", False),
        ("/", "/invoke/greeter/greet", False),
        ("/", "/discover", False),
    ],
)
def test_below_a_mount_point_the_path_under_it_must_be_exempt_too(path: str, root_path: str, is_served: bool) -> None:
    app = Recorder()
    asyncio.run(
        served(
            guarded(app, exempt_paths=lambda path: path[-7:] != "/secret" or path.startswith("/mounted/")),
            request(path, root_path=root_path),
        )
    )
    assert bool(app.calls) == is_served


@pytest.mark.parametrize(
    ("path", "root_path", "is_served"),
    [
        (f"/mounted{PATH}", "/mounted", True),
        (f"/mounted{PATH}", "/mounted/", True),
        (f"/v1/mounted{PATH}", "/v1", True),
        (PATH, "/elsewhere", True),
        (PATH, "/", True),
        (PATH, "/invoke", False),
        (PATH, "/invoke/", False),
        (PATH, "voke", False),
        (PATH, PATH, False),
        (f"/mounted{PATH}", "/invoke", False),
        (PATH, "/%69nvoke", False),
        # Litestar removes the second /invoke/, and not the first without a slash.
        (f"/invokeX{PATH}", "/invoke/", False),
        (f"/v1.0{PATH}", "/v1.0", True),
        (PATH, "/v1.0", True),
        (f"/invoke/other/secret{PATH}", f"x|{PATH}", False),
        (PATH, "/invoke/other", True),
    ],
)
def test_below_a_mount_point_the_path_under_it_must_end_in_the_signed_one(
    path: str, root_path: str, is_served: bool
) -> None:
    app = Recorder()
    asyncio.run(served(guarded(app), request(path, signature(PATH), root_path=root_path)))
    assert bool(app.calls) == is_served


@pytest.mark.parametrize("path", ["/invoke/Greeter/greetX", "/invoke/X/X", "/discover"])
def test_a_mount_point_that_is_not_in_the_path_keeps_no_call_out(path: str) -> None:
    app = Recorder()
    asyncio.run(served(guarded(app), request(path, signature(path), root_path="/elsewhere")))
    assert len(app.calls) == 1


def test_a_mount_point_that_frameworks_read_in_different_ways_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asyncio.run(served(guarded(Recorder()), request(PATH, signature(PATH), root_path="x|y")))
    assert "wrong_audience: the root_path 'x|y' is not read alike by all frameworks: let it have only" in caplog.text


# What frameworks route on, given the path and ``root_path``.
READINGS: dict[str, Callable[[str, str], str]] = {
    "all of it": lambda path, _: path,
    "Starlette": lambda path, root: path[len(root) :] if path.startswith(f"{root}/") else path,
    "Starlette 0.35": lambda path, root: re.sub(f"^{root}", "", path),
    "Quart": lambda path, root: path.removeprefix(root),
    "Litestar": lambda path, root: path.split(root.rstrip("/"), 1)[-1] if root.rstrip("/") else path,
    "asgi-tools": lambda path, root: root + path,
}
PIECES = ("/", "/invoke", "/B", "/secret", "/discover", "/.", ".", "|", "x", "^", "B", "(", ")", "*", "%2F")


@given(
    path=st.lists(st.sampled_from(PIECES[1:5]), max_size=4).map("".join),
    root_path=st.lists(st.sampled_from((*PIECES, PATH)), max_size=4).map("".join),
    signed=st.sampled_from((PATH, "/discover", "/invoke/B/secret")),
)
@example(path="/invoke/B/secret", root_path=f"x|{PATH}", signed=PATH)
@example(path="", root_path="/invoke/B", signed="/discover")
def test_what_is_let_through_is_signed_however_the_framework_reads_its_mount_point(
    path: str, root_path: str, signed: str
) -> None:
    app = Recorder()
    path += signed
    asyncio.run(served(guarded(app), request(path, signature(signed), root_path=root_path)))
    for reading in READINGS.values() if app.calls else ():
        # Some put the slash back that was removed.
        assert signed_path("/" + reading(path, root_path).lstrip("/")) == signed


def test_a_call_that_is_closed_from_another_context_is_closed_quietly() -> None:
    # As the garbage collector or a closing event loop does with abandoned coroutines.
    class Forever:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (the signature is given)
        await Forever()

    async def unsendable(message: Message) -> None:
        raise AssertionError(f"{message} was sent")

    call = guarded(waiting)(request(headers=signature()), unread, unsendable)
    contextvars.copy_context().run(call.send, None)
    call.close()
    assert current_identity() is None


@pytest.mark.parametrize(
    "name", [b"x-restate-signature-schemd", b"x-restate-signature-schemf", b"x-restate-jwt-v0", b"x-restate-jwt-v2"]
)
def test_a_header_whose_name_is_as_long_is_another_one(name: bytes) -> None:
    app = Recorder()
    scope = request(headers=[(name, b"another"), *signature()])
    asyncio.run(served(guarded(app), scope))
    assert len(app.calls) == 1
