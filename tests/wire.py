"""One request over a socket, in pieces: between any two of them the response can be looked at.

Ordinary clients send all of a request before they show any of its response, and mend what they are given. These do not.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from http.client import HTTPResponse
from types import TracebackType
from typing import Protocol

import h2.config
import h2.connection
import h2.events

TIMEOUT = 20.0

Fields = Iterable[tuple[str | bytes, str | bytes]]


class Exchange(Protocol):
    """A request and its response, on a connection of their own."""

    trailers: list[tuple[str, str]]

    def __enter__(self) -> Exchange: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def send(self, piece: bytes) -> None:
        """Send a piece of the request's body, or nothing if the server has ended its response or the connection."""

    def end(self) -> None:
        """End the request's body."""

    def status(self) -> int:
        """Wait for the response's head and return its status.

        Raises:
            ConnectionError: The server gave the request up, or the connection, and sent no response.
        """

    def read(self) -> bytes:
        """Wait for more of the response's body and return it; empty at its end."""


class Http1Exchange:
    """An HTTP/1.1 request; its *body*, if it has one, is chunked."""

    def __init__(self, port: int, method: str, target: str | bytes, fields: Fields = (), body: bool = False) -> None:
        self.trailers: list[tuple[str, str]] = []
        self._chunked = body
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
        with suppress(ConnectionError):
            self._socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self) -> None:
        if self._chunked:
            with suppress(ConnectionError):
                self._socket.sendall(b"0\r\n\r\n")

    def status(self) -> int:
        self._response.begin()
        return self._response.status

    def read(self) -> bytes:
        return self._response.read1()


class Http2Exchange:
    """An HTTP/2 request on a connection of its own, with prior knowledge (RFC 9113, 3.3)."""

    def __init__(self, port: int, method: str, target: str | bytes, fields: Fields = (), body: bool = False) -> None:
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
        self._connection.send_headers(1, head, end_stream=not body)
        self._flush()

    def __enter__(self) -> Http2Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, piece: bytes) -> None:
        while piece and not self._ended:
            room = min(self._connection.local_flow_control_window(1), self._connection.max_outbound_frame_size)
            if room == 0:
                self._receive()
                continue
            self._connection.send_data(1, piece[:room])
            self._flush()
            piece = piece[room:]

    def end(self) -> None:
        if not self._ended:
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
        with suppress(ConnectionError):  # a server that is gone may still have sent a response before
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
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)) and not self._ended:
                # After the end of a response it only says: do not send the rest (RFC 9113, 8.1).
                raise ConnectionError(f"the server gave the request up: {event}")
        self._flush()


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
