"""One request over a socket, in pieces: what is sent and what has come back can be looked at between any two of them.

Ordinary clients send all of a request before they show any of the response. These two do not, have no timeouts but the
socket's, and send whatever they are given.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from http.client import HTTPResponse
from types import TracebackType
from typing import Protocol

import h2.config
import h2.connection
import h2.events

TIMEOUT = 20.0

Fields = Iterable[tuple[str | bytes, str | bytes]]


class Exchange(Protocol):
    """A request and its response."""

    trailers: list[tuple[str, str]]

    def __enter__(self) -> Exchange: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def send(self, piece: bytes) -> None:
        """Send a piece of the request's body."""

    def end(self) -> None:
        """End the request's body."""

    def status(self) -> int:
        """Wait for the response's head and return its status."""

    def read(self) -> bytes:
        """Wait for more of the response's body and return it; empty at its end."""


class Http1Exchange:
    """An HTTP/1.1 request whose body, if it has one, is chunked."""

    def __init__(self, port: int, method: str, target: str | bytes, fields: Fields = ()) -> None:
        self.trailers: list[tuple[str, str]] = []
        self._chunked = method == "POST"
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        lines = [method.encode() + b" " + _bytes(target) + b" HTTP/1.1", b"host: localhost"]
        lines += [_bytes(name) + b": " + _bytes(value) for name, value in fields]
        if self._chunked:
            lines.append(b"transfer-encoding: chunked")
        self._socket.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        self._response = HTTPResponse(self._socket, method=method)

    def __enter__(self) -> Http1Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._socket.close()

    def send(self, piece: bytes) -> None:
        self._socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self) -> None:
        if self._chunked:
            self._socket.sendall(b"0\r\n\r\n")

    def status(self) -> int:
        self._response.begin()
        return self._response.status

    def read(self) -> bytes:
        return self._response.read1()


class Http2Exchange:
    """An HTTP/2 request on a connection of its own, with prior knowledge (RFC 9113, 3.3)."""

    def __init__(self, port: int, method: str, target: str | bytes, fields: Fields = ()) -> None:
        self.trailers: list[tuple[str, str]] = []
        self._status: int | None = None
        self._pieces: list[bytes] = []
        self._ended = False
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
        )
        self._connection.initiate_connection()
        head: list[tuple[bytes, bytes]] = [
            (b":method", method.encode()),
            (b":scheme", b"http"),
            (b":authority", b"localhost"),
            (b":path", _bytes(target)),
        ]
        head += [(_bytes(name), _bytes(value)) for name, value in fields]
        self._connection.send_headers(1, head, end_stream=method != "POST")
        self._flush()

    def __enter__(self) -> Http2Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, piece: bytes) -> None:
        self._connection.send_data(1, piece)
        self._flush()

    def end(self) -> None:
        self._connection.end_stream(1)
        self._flush()

    def status(self) -> int:
        while self._status is None:
            self._receive()
        return self._status

    def read(self) -> bytes:
        while not self._pieces and not self._ended:
            self._receive()
        return self._pieces.pop(0) if self._pieces else b""

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        for event in self._connection.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self._status = int(dict(event.headers)[b":status"])
            elif isinstance(event, h2.events.DataReceived):
                self._connection.acknowledge_received_data(event.flow_controlled_length, 1)
                if event.data:
                    self._pieces.append(event.data)
            elif isinstance(event, h2.events.TrailersReceived):
                self.trailers += [(name.decode(), value.decode()) for name, value in event.headers]
            elif isinstance(event, h2.events.StreamEnded):
                self._ended = True
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                raise ConnectionError(f"the server gave the request up: {event}")
        self._flush()


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
