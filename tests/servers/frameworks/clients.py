"""Clients that send request targets as raw bytes, one request after the other over one connection."""

from __future__ import annotations

import json
import socket
from http.client import BadStatusLine, HTTPException, HTTPResponse
from typing import Any, NamedTuple, Protocol

import h2.config
import h2.connection
import h2.events
import h2.exceptions

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
        self._socket: socket.socket | None = None
        self.retried = 0

    def ask(self, target: bytes, fields: Fields, body: bytes) -> Reply:
        used = self._socket is not None
        reply = self._attempt(target, fields, body)
        if reply is NO_REPLY and used:
            self.retried += 1
            reply = self._attempt(target, fields, body)
        return reply

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _attempt(self, target: bytes, fields: Fields, body: bytes) -> Reply:
        raise NotImplementedError


class Http1Client(_Kept):
    """HTTP/1.1."""

    def _attempt(self, target: bytes, fields: Fields, body: bytes) -> Reply:
        if self._socket is None:
            self._socket = self._connect()
        head = [b"POST " + target + b" HTTP/1.1", b"host: localhost", b"content-length: %d" % len(body)]
        head += [name + b": " + value for name, value in fields]
        response = HTTPResponse(self._socket, method="POST")
        try:
            self._socket.sendall(b"\r\n".join([*head, b"", body]))
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

    _connection: h2.connection.H2Connection

    def _attempt(self, target: bytes, fields: Fields, body: bytes) -> Reply:
        try:
            return self._exchange(target, fields, body)
        except (OSError, h2.exceptions.H2Error):
            self.close()
            return NO_REPLY

    def _exchange(self, target: bytes, fields: Fields, body: bytes) -> Reply:
        if self._socket is None:
            self._socket = self._connect()
            self._connection = h2.connection.H2Connection(
                h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
            )
            self._connection.initiate_connection()
        stream = self._connection.get_next_available_stream_id()
        head = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"localhost"), (b":path", target)]
        self._connection.send_headers(stream, head + fields, end_stream=not body)
        if body:
            self._connection.send_data(stream, body, end_stream=True)
        status, pieces = 0, []
        while True:
            self._socket.sendall(self._connection.data_to_send())
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            for event in self._connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    self._connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    pieces.append(event.data if event.stream_id == stream else b"")
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id == stream:
                    self._socket.sendall(self._connection.data_to_send())
                    return Reply(status, b"".join(pieces))
                elif isinstance(event, h2.events.StreamReset) and event.stream_id == stream:
                    return Reply(status, b"".join(pieces))
                elif isinstance(event, h2.events.ConnectionTerminated):
                    raise ConnectionError("the server ends the connection")


class LambdaClient:
    """Invokes the handlers of `lambda_runtime` with events."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._lines = self._socket.makefile("rb")

    def invoke(self, app: str | None, event: object = None) -> Any:
        self._socket.sendall(json.dumps([app, event]).encode() + b"\n")
        return json.loads(self._lines.readline())

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
