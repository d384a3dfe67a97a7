"""A target that speaks HTTP/2, in cleartext or TLS; a test decides everything it does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame

from tests.tunnel.dialling import until

Fields = Iterable[tuple[str, str]]


class Served:
    """One request that reached the target."""

    def __init__(self, end: TargetEnd, stream_id: int, headers: Fields) -> None:
        self.end = end
        self.stream_id = stream_id
        self.fields = list(headers)
        self.headers = dict(self.fields)
        self.body = bytearray()
        self.trailers: dict[str, str] = {}
        self.complete = False
        self.reset_code: int | None = None
        self.hold = False
        self.unread = 0

    def respond(self, status: int | str = 200, headers: Fields = (), *, end: bool = False) -> None:
        self.head([(":status", str(status)), *headers], end=end)

    def head(self, fields: Fields, *, end: bool = False) -> None:
        self.end.h2.send_headers(self.stream_id, list(fields), end_stream=end)
        self.end.flush()

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Send what the windows have room for: a test sends little."""
        self.end.h2.send_data(self.stream_id, data, end_stream=end)
        self.end.flush()

    def trail(self, fields: Fields) -> None:
        self.head(fields, end=True)

    def answer(self, body: bytes = b"done", status: int = 200) -> None:
        """Send a whole response."""
        self.respond(status)
        self.send(body, end=True)

    def reset(self, code: h2.errors.ErrorCodes = h2.errors.ErrorCodes.CANCEL) -> None:
        self.end.h2.reset_stream(self.stream_id, code)
        self.end.flush()

    def window(self) -> int:
        return self.end.h2.local_flow_control_window(self.stream_id)

    def read_on(self) -> None:
        """Open the window again for what came while `hold` was set."""
        self.hold = False
        unread, self.unread = self.unread, 0
        if unread:
            self.end.h2.acknowledge_received_data(unread, self.stream_id)
            self.end.flush()


class TargetEnd(asyncio.Protocol):
    """The target's end of one connection."""

    def __init__(self, target: Http2Target) -> None:
        self._target = target
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="latin-1", validate_outbound_headers=False)
        )
        self.h2._frame_dispatch_table[GoAwayFrame] = self._goaway
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=dict(target.settings))
        self._silent = target.silent
        self.goaways = 0
        self.pings = 0
        self.lost = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self._target.ends.append(self)
        if self._silent:
            return
        if self._target.late:
            transport.pause_reading()
            asyncio.get_running_loop().call_later(self._target.late, self._greet)
        else:
            self._greet()

    def _greet(self) -> None:
        if self.transport.is_closing():
            return
        self.h2.initiate_connection()
        self._target.on_connection(self)
        self.flush()
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._silent:
            return
        for event in self.h2.receive_data(data):
            self._handle(event)
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 (the interface of asyncio)
        self.lost = True

    def goaway(self, last: int) -> None:
        """Announce that streams after *last* are not processed."""
        frame = GoAwayFrame(0)
        frame.last_stream_id = last
        self.raw(frame.serialize())

    def raw_head(self, stream_id: int, status: str) -> None:
        """Send the head of a response on any stream."""
        frame = HeadersFrame(stream_id, self.h2.encoder.encode([(":status", status)]))
        frame.flags.add("END_HEADERS")
        self.raw(frame.serialize())

    def raw(self, data: bytes) -> None:
        self.flush()
        self.transport.write(data)

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            assert event.headers is not None
            fields = [(str(name), str(value)) for name, value in event.headers]
            served = Served(self, event.stream_id or 0, fields)
            served.hold = self._target.hold
            self._target.by_stream[self, served.stream_id] = served
            self._target.served.append(served)
            self._target.on_request(served)
            return
        self.pings += isinstance(event, h2.events.PingReceived)
        known = self._target.by_stream.get((self, getattr(event, "stream_id", None) or 0))
        if known is None:
            return
        if isinstance(event, h2.events.DataReceived):
            known.body += event.data or b""
            known.unread += event.flow_controlled_length or 0
            if not known.hold:
                known.read_on()
        elif isinstance(event, h2.events.TrailersReceived):
            known.trailers = {str(name): str(value) for name, value in event.headers or ()}
        elif isinstance(event, h2.events.StreamEnded):
            known.complete = True
            self._target.on_complete(known)
        elif isinstance(event, h2.events.StreamReset):
            known.reset_code = event.error_code

    def _goaway(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:  # noqa: ARG002
        self.goaways += 1
        return [], []


class Http2Target:
    """A server on a free port of the loopback interface.

    Attributes:
        ends: Its end of each connection, in order.
        served: The requests that came, in order.
        on_connection: Called with a new connection, before its settings are sent.
        on_request, on_complete: Called with a request when its head, and when all of it has come.
        silent: Whether new connections get no answer at all.
        late: After how many seconds a new connection gets its settings.
        hold: Whether nothing that is received opens the window again.
    """

    def __init__(
        self,
        *,
        settings: Mapping[h2.settings.SettingCodes, int] | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        silent: bool = False,
        on_request: Callable[[Served], object] = lambda _: None,
        on_complete: Callable[[Served], object] = lambda _: None,
    ) -> None:
        self.settings = dict(settings or {})
        self.silent = silent
        self.late = 0.0
        self.hold = False
        self.on_connection: Callable[[TargetEnd], object] = lambda _: None
        self.on_request = on_request
        self.on_complete = on_complete
        self.ends: list[TargetEnd] = []
        self.served: list[Served] = []
        self.by_stream: dict[tuple[TargetEnd, int], Served] = {}
        self._tls = tls
        self._host = host

    async def __aenter__(self) -> Http2Target:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: TargetEnd(self), self._host, 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for end in self.ends:
            end.transport.abort()
        await asyncio.sleep(0)

    @property
    def origin(self) -> str:
        return f"http{'s' if self._tls else ''}://{self._host}:{self.port}"

    async def request(self, index: int = 0) -> Served:
        """Wait for the request with this number; the first one is 0."""
        await until(lambda: len(self.served) > index)
        return self.served[index]
