"""Clients that send one request over a socket in pieces, and can read the response between any two of them.

Ordinary clients send the whole request before they return the response, and correct malformed requests. These do not.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from http.client import HTTPResponse

import h2.config
import h2.connection
import h2.errors
import h2.events

TIMEOUT = 20.0

Fields = Iterable[tuple[str | bytes, str | bytes]]


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
        """Send a piece of the request's body, or nothing if the server wants no more of it."""
        with suppress(ConnectionError):
            self._socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self, trailers: Fields = ()) -> None:
        if self._chunked:
            lines = [_bytes(name) + b": " + _bytes(value) + b"\r\n" for name, value in trailers]
            with suppress(ConnectionError):
                self._socket.sendall(b"".join([b"0\r\n", *lines, b"\r\n"]))

    def status(self) -> int:
        """Wait for the response's head and return its status."""
        self._response.begin()
        return self._response.status

    def read(self) -> bytes:
        """Wait for more of the response's body and return it; empty at its end."""
        return self._response.read1()


class Http2Connection:
    """An HTTP/2 connection with prior knowledge (RFC 9113, 3.3), and any number of requests on it.

    Nothing runs in the background: waiting for one response also reads the frames of all others.
    """

    def __init__(self, port: int, timeout: float = TIMEOUT) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding=None, validate_outbound_headers=False)
        )
        self._streams: dict[int, Http2Stream] = {}
        self.h2.initiate_connection()

    def __enter__(self) -> Http2Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def open(self, stream: Http2Stream, head: list[tuple[bytes, bytes]], *, ended: bool) -> int:
        """Send the head of *stream* and return its number."""
        stream_id = self.h2.get_next_available_stream_id()
        self._streams[stream_id] = stream
        self.h2.send_headers(stream_id, head, end_stream=ended)
        self.flush()
        return stream_id

    def flush(self) -> None:
        with suppress(ConnectionError):  # a server that is gone may still have sent a response before
            self._socket.sendall(self.h2.data_to_send())

    def is_cut_off(self) -> bool:
        """Answer nothing that comes, and wait until the server closes the connection; False if it does not in time."""
        try:
            while self._socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    def receive(self) -> None:
        """Wait for data, and pass it to the streams.

        Raises:
            ConnectionError: The server ended the connection.
        """
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ConnectionTerminated):
                raise ConnectionError(f"the server gave the connection up: {event}")
            stream = self._streams.get(getattr(event, "stream_id", None) or 0)
            if stream is not None:
                stream.happened(event)
        self.flush()


class Http2Stream:
    """A request on an `Http2Connection`."""

    def __init__(
        self, connection: Http2Connection, method: str, target: str | bytes, fields: Fields = (), body: bool = False
    ) -> None:
        self.trailers: list[tuple[str, str]] = []
        self._connection = connection
        self._status: int | None = None
        self._pieces: list[bytes] = []
        self._ended = False
        self._unwanted = False
        self._reset: str | None = None
        head: list[tuple[bytes, bytes]] = [
            (b":method", method.encode()),
            (b":scheme", b"http"),
            (b":authority", b"localhost"),
            (b":path", _bytes(target)),
        ]
        head += [(_bytes(name), _bytes(value)) for name, value in fields]
        self._stream_id = connection.open(self, head, ended=not body)

    def __enter__(self) -> Http2Stream:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the connection to the other requests on it."""

    def send(self, piece: bytes) -> None:
        h2_connection = self._connection.h2
        while piece and not self._unwanted:
            window = h2_connection.local_flow_control_window(self._stream_id)
            room = min(window, h2_connection.max_outbound_frame_size)
            if room == 0:
                self._receive()
                continue
            h2_connection.send_data(self._stream_id, piece[:room])
            self._connection.flush()
            piece = piece[room:]

    def end(self, trailers: Fields = ()) -> None:
        if not self._unwanted:
            last = [(_bytes(name), _bytes(value)) for name, value in trailers]
            if last:
                self._connection.h2.send_headers(self._stream_id, last, end_stream=True)
            else:
                self._connection.h2.end_stream(self._stream_id)
            self._connection.flush()

    def reset(self) -> None:
        """Cancel the request."""
        self._connection.h2.reset_stream(self._stream_id, h2.errors.ErrorCodes.CANCEL)
        self._connection.flush()

    def status(self) -> int:
        """Wait for the response's head and return its status.

        Raises:
            ConnectionError: The server gave the request up, or the connection, and sent no response.
        """
        while self._status is None:
            self._receive()
        return self._status

    def read(self) -> bytes:
        while not self._pieces and not self._ended:
            self._receive()
        return self._pieces.pop(0) if self._pieces else b""

    def rest(self) -> bytes:
        """Wait for the end of the response and return the rest of its body."""
        return b"".join(iter(self.read, b""))

    def happened(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._status = int(dict(event.headers)[b":status"])
        elif isinstance(event, h2.events.DataReceived):
            self._connection.h2.acknowledge_received_data(event.flow_controlled_length, self._stream_id)
            if event.data:
                self._pieces.append(event.data)
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers += [(name.decode(), value.decode()) for name, value in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            self._ended = True
        elif isinstance(event, h2.events.StreamReset):
            self._unwanted = True
            if not self._ended:
                # After the end of a response it only says: do not send the rest (RFC 9113, 8.1).
                self._reset = str(event)

    def _receive(self) -> None:
        if self._reset is not None:
            raise ConnectionError(f"the server gave the request up: {self._reset}")
        self._connection.receive()


class Http2Exchange(Http2Stream):
    """An HTTP/2 request on a connection of its own."""

    def __init__(
        self,
        port: int,
        method: str,
        target: str | bytes,
        fields: Fields = (),
        body: bool = False,
        timeout: float = TIMEOUT,
    ) -> None:
        super().__init__(Http2Connection(port, timeout), method, target, fields, body)

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
