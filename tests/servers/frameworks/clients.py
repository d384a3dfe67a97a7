"""Clients that send request targets as raw bytes, one request after the other over one connection."""

from __future__ import annotations

import json
import socket
from http.client import BadStatusLine, HTTPException, HTTPResponse
from typing import Any, NamedTuple, Protocol

from h2.exceptions import H2Error

from tests.support.wire import Http2Connection, Http2Stream

TIMEOUT = 30.0

Fields = list[tuple[bytes, bytes]]


class Reply(NamedTuple):
    """The response, with status 0 if there was none."""

    status: int
    body: bytes


NO_REPLY = Reply(0, b"")


class Client(Protocol):
    """Sends POST requests to one server."""

    retried: int

    def ask(self, target: bytes, fields: Fields, body: bytes) -> Reply: ...
    def close(self) -> None: ...


def client(port: int, http: int) -> Client:
    return Http2Client(port) if http == 2 else Http1Client(port)


class _Kept:
    """A connection that is kept while both sides want to, and tried once more if it was a used one that broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Any = None
        self.retried = 0

    def ask(self, target: bytes, fields: Fields, body: bytes) -> Reply:
        used = self._connection is not None
        reply = self._attempt(target, fields, body)
        if reply is NO_REPLY and used:
            self.retried += 1
            reply = self._attempt(target, fields, body)
        return reply

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _attempt(self, target: bytes, fields: Fields, body: bytes) -> Reply:
        raise NotImplementedError


class Http1Client(_Kept):
    """HTTP/1.1."""

    def _attempt(self, target: bytes, fields: Fields, body: bytes) -> Reply:
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = [b"POST " + target + b" HTTP/1.1", b"host: localhost", b"content-length: %d" % len(body)]
        head += [name + b": " + value for name, value in fields]
        response = HTTPResponse(self._connection, method="POST")
        try:
            self._connection.sendall(b"\r\n".join([*head, b"", body]))
            response.begin()
            reply = Reply(response.status, response.read())
        except ConnectionError:
            self.close()
            return NO_REPLY
        except BadStatusLine as error:
            # An answer of HTTP/0.9 has no head: it may be the body of a handler.
            self.close()
            return Reply(0, str(error).encode())
        except (OSError, HTTPException):
            self.close()
            return NO_REPLY
        finally:
            response.close()
        # With white space in the target, the server may take one request for several.
        if response.will_close or len(target.split()) != 1:
            self.close()
        return reply


class Http2Client(_Kept):
    """HTTP/2 with prior knowledge (RFC 9113, 3.3)."""

    def _attempt(self, target: bytes, fields: Fields, body: bytes) -> Reply:
        try:
            if self._connection is None:
                self._connection = Http2Connection(self._port)
            stream = Http2Stream(self._connection, "POST", target, fields, body=bool(body))
            if body:
                stream.send(body)
                stream.end()
            return Reply(stream.status(), stream.rest())
        except (OSError, H2Error):
            self.close()
            return NO_REPLY


class LambdaClient:
    """Invokes the handlers of `lambda_runtime` with events."""

    def __init__(self, port: int) -> None:
        # Before its first answer, it imports all frameworks.
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=4 * TIMEOUT)
        self._lines = self._socket.makefile("rb")

    def invoke(self, app: str | None, event: object = None) -> Any:
        self._socket.sendall(json.dumps([app, event]).encode() + b"\n")
        return json.loads(self._lines.readline())

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
