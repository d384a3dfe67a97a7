"""One forwarded request as one ASGI call: both bodies flow at the same time, and either side waits for the other."""

from __future__ import annotations

import asyncio
import logging
import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from h2.errors import ErrorCodes

from restate_identity._quoting import quoted
from restate_identity.asgi import ENDS_EARLY, ASGIApp, Message, Scope
from restate_identity.tunnel.forwarded_path import ForwardedPath
from restate_identity.tunnel.header_blocks import HeaderList
from restate_identity.tunnel.wire import Wire

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_NOT_IN_A_VALUE = re.compile(rb"[\0\r\n]").search
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch
# They are about the connection that an HTTP/1.1 server would have, and forbidden here (RFC 9113, 8.2.2).
_OF_THE_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path"))
_WITHOUT_BODY = frozenset((204, 304))


class Request(NamedTuple):
    """The head of a request."""

    method: str
    target: bytes
    """Its ``:path``."""
    headers: list[tuple[bytes, bytes]]
    """Without those of the protocol; the authority is ``host``."""
    size: int
    """Of the header list, as RFC 9113, 6.5.2 counts it."""
    length: int | None
    """What the body must come to (content-length); None if that is not said."""
    ended: bool
    """There is no body."""
    malformed: bool
    """It must not be served (RFC 9113, 8.1.1)."""


def request_head(received: HeaderList, *, ended: bool) -> Request:
    """Return the request with the header fields that were *received*.

    They are checked here and not by h2, which ends the whole connection over a field that it does not like, a ``host``
    beside another ``:authority`` for instance, as a proxy in between may well send it.
    """
    pseudo: dict[bytes, bytes] = {}
    headers: list[tuple[bytes, bytes]] = []
    cookies: list[bytes] = []
    lengths: set[bytes] = set()
    malformed, has_host = False, False
    for name, value in received.fields:
        if name[:1] == b":":
            malformed = malformed or bool(headers or cookies) or name in pseudo or _NOT_IN_A_VALUE(value) is not None
            pseudo[name] = value
            continue
        malformed = malformed or not _is_field(name, value)
        has_host = has_host or name == b"host"
        if name == b"cookie":
            cookies.append(value)
            continue
        if name == b"content-length":
            # The same once more is left out (RFC 9110, 8.6).
            if value in lengths:
                continue
            lengths.add(value)
        headers.append((name, value))
    method = pseudo.get(b":method", b"")
    malformed = malformed or _METHOD(method) is None or not _PSEUDO.issuperset(pseudo)
    if not has_host and (authority := pseudo.get(b":authority")):
        headers.insert(0, (b"host", authority))
    if cookies:
        # HTTP/2 may cut it into pieces, which nobody else expects (RFC 9113, 8.2.3).
        headers.append((b"cookie", b"; ".join(cookies)))
    length: int | None = None
    if lengths:
        malformed = malformed or len(lengths) > 1 or not all(map(_LENGTH, lengths))
        length = None if malformed else int(lengths.pop())
        malformed = malformed or (ended and length != 0)
    path = pseudo.get(b":path", b"")
    return Request(method.decode("latin-1"), path, headers, received.size, length, ended, malformed)


def trailers_are_malformed(received: HeaderList) -> bool:
    """Return whether the trailers of a request are such as no client may send (RFC 9113, 8.1)."""
    return not all(_is_field(name, value) for name, value in received.fields)


def _is_field(name: bytes, value: bytes) -> bool:
    return _NAME(name) is not None and name not in _OF_THE_CONNECTION and _NOT_IN_A_VALUE(value) is None


def asgi_scope(request: Request, forwarded: ForwardedPath) -> Scope:
    """Return what the application is told about *request*: it routes on the path without the tunnel's segments."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "method": request.method,
        "scheme": "https",
        "path": unquote(forwarded.path.decode("ascii")),
        "raw_path": forwarded.path,
        "query_string": forwarded.query,
        "root_path": "",
        "headers": request.headers,
        "client": None,
        "server": ("in-process", 9080),
        "extensions": {ENDS_EARLY: {}},
    }


class ForwardedStream:
    """One stream that the other side opened.

    What it has sent waits here, up to the window of a stream; the window is opened again as the application takes it.
    """

    __slots__ = (
        "_answered",
        "_body",
        "_ended",
        "_finished",
        "_gone",
        "_has_body",
        "_last_taken",
        "_length",
        "_news",
        "_owed",
        "_wire",
        "request",
        "started",
        "stream_id",
        "task",
    )

    def __init__(self, wire: Wire, stream_id: int, request: Request) -> None:
        self._wire = wire
        self.stream_id: int = stream_id
        self.request: Request = request
        self.task: asyncio.Task[None] | None = None
        self.started: bool = False
        """Whether the application has been called."""
        # One buffer: as a list of chunks, single bytes would take a hundred times their size.
        self._body = bytearray()
        self._owed = 0  # of the window, for what is in the buffer
        self._length = 0  # of all that came
        self._news = asyncio.Event()
        self._ended = request.ended
        self._last_taken = False
        self._gone = False
        self._answered = False
        self._has_body = True
        self._finished = False

    # What the connection reports.

    def received(self, data: bytes, flow_controlled: int) -> None:
        """Keep a part of the request's body."""
        self._length += len(data)
        if self._gone or self._finished:
            self._wire.credit(self.stream_id, flow_controlled)
            return
        self._body += data
        self._owed += len(data)
        # Padding is nobody's to take.
        self._wire.credit(self.stream_id, flow_controlled - len(data))
        self._news.set()

    def ended(self) -> None:
        """The request is complete."""
        self._ended = True
        self._news.set()

    @property
    def is_gone(self) -> bool:
        """Whether the stream was reset, or the connection is gone."""
        return self._gone

    @property
    def has_another_length(self) -> bool:
        """Whether the body is longer than the request said, or has ended and is shorter."""
        said = self.request.length
        return said is not None and (self._length > said or (self._ended and self._length < said))

    def refuse(self) -> None:
        """Turn the request down: it may be sent again (RFC 9113, 8.7)."""
        self._gone = True
        self._discard()
        self._wire.reset(self.stream_id, ErrorCodes.REFUSED_STREAM)

    def disconnected(self) -> None:
        """The stream is no more: it was reset, or the connection is gone."""
        self._gone = True
        self._wire.release(self.stream_id)
        self._news.set()
        self._discard()

    # What is answered without the application.

    def answer(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        """Answer without a body, whatever the request's body may be."""
        self._discard()
        self._answered = True
        self._wire.headers(self.stream_id, [(b":status", b"%d" % status), *headers], end=True)
        self._finish()

    # What the application does.

    async def run(self, app: ASGIApp, scope: Scope, done: Callable[[ForwardedStream], None]) -> None:
        """Call the application, and see to it that the stream ends, however that goes."""
        self.started = True
        try:
            await app(scope, self.receive, self.send)
            if not self._finished and not self._gone:
                logger.error("the application returned without completing its response to %s", self._path(scope))
        except Exception:
            logger.exception("the application failed on %s", self._path(scope))
        finally:
            self._close()
            done(self)

    async def receive(self) -> Message:
        """Return the next part of the request (ASGI)."""
        while True:
            if self._gone or self._finished:
                return {"type": "http.disconnect"}
            if self._body or (self._ended and not self._last_taken):
                body = bytes(self._body)
                self._discard()
                self._last_taken = self._ended
                return {"type": "http.request", "body": body, "more_body": not self._ended}
            self._news.clear()
            await self._news.wait()

    async def send(self, message: Message) -> None:
        """Send the next part of the response, as soon as there is room for all of it (ASGI)."""
        kind = message["type"]
        if kind == "http.response.start":
            if self._answered:
                raise RuntimeError("the response was started before")
            headers = _checked(message["status"], message.get("headers") or ())
            while self._wire.paused and not self._gone:
                await self._wire.room(self.stream_id)
            self._answered = True
            self._has_body = self.request.method != "HEAD" and message["status"] not in _WITHOUT_BODY
            if not self._gone:
                self._wire.headers(self.stream_id, headers)
        elif kind == "http.response.body":
            if not self._answered:
                raise RuntimeError("the response was not started")
            if self._finished:
                raise RuntimeError("the response was complete before")
            await self._send_body(message.get("body") or b"", end=not message.get("more_body", False))
        else:
            raise RuntimeError(f"a message of type {kind!r} is not expected")

    async def _send_body(self, data: bytes, *, end: bool) -> None:
        rest = memoryview(data if self._has_body else b"")
        if not rest and not end:
            return
        while not self._gone:
            rest = rest[self._wire.write(self.stream_id, rest, end=end) :]
            if not rest:
                break
            await self._wire.room(self.stream_id)
        if end:
            self._finish()

    # The end.

    def _finish(self) -> None:
        self._finished = True
        self._news.set()
        self._discard()
        if not self._ended and not self._gone:
            # The rest of the request is not wanted (RFC 9113, 8.1).
            self._wire.reset(self.stream_id, ErrorCodes.NO_ERROR)

    def _close(self) -> None:
        """End the stream if the application did not."""
        if self._finished or self._gone:
            return
        if self._answered:
            self._finished = True
            self._discard()
            self._wire.reset(self.stream_id, ErrorCodes.INTERNAL_ERROR)
        else:
            self.answer(500)

    def _discard(self) -> None:
        owed, self._owed = self._owed, 0
        self._body.clear()
        self._wire.credit(self.stream_id, owed)

    def _path(self, scope: Scope) -> str:
        return quoted(scope["path"])


def _checked(status: int, headers: Any) -> list[tuple[bytes, bytes]]:
    """Return the header fields of a response.

    Raises:
        ValueError, TypeError: One of them is invalid; nothing was sent, and something else still can be.
    """
    status = operator.index(status)
    if not 200 <= status <= 999:
        # A lower one does not end a request (RFC 9110, 15), and HTTP/2 has no other form.
        raise ValueError(f"the status of the response is between 200 and 999, and not {status}")
    fields = [(b":status", b"%d" % status)]
    for name, value in headers:
        lower = bytes(name).lower()
        stripped = bytes(value).strip(b" \t")
        if _NAME(lower) is None or _NOT_IN_A_VALUE(stripped):
            raise ValueError(f"the response header {quoted(lower.decode('latin-1'))} is not a valid one")
        if lower not in _OF_THE_CONNECTION:
            fields.append((lower, stripped))
    return fields
