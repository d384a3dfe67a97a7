"""A fake Restate Cloud: accepts what a tunnel dials, and is the HTTP/2 client on it. A test decides everything it does.

::

    async with Cloud() as cloud:                      # accepts every tunnel; Cloud(script=None) leaves that to the test
        connection = Connection(cloud.target, app, ...)
        line = await cloud.line(0)                    # the first connection that was dialled
        await line.accepted()                         # ... once the handshake is over
        response = await line.request("/http/in-process/9080/invoke/Greeter/greet", headers, body=b"...")
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack
import trustme
from hyperframe.frame import Frame, GoAwayFrame

PATIENCE = 30.0
SERVER_NAME = "tunnel.test"
PROXY_URL = "https://tunnel.test:9080/environment/greeter"
TUNNEL_URL = "https://tunnel.test/environment/greeter"
PREFIX = "/http/in-process/9080"

Fields = Iterable[tuple[str, str]]


class Address(NamedTuple):
    """Where a cloud is to be dialled. Not the tunnel's own class: nothing of the tunnel is used on this side."""

    host: str
    port: int
    tls: bool
    server_name: str

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"


class TlsPair(NamedTuple):
    """The contexts of both sides, and the certificate of the authority that the tunnel trusts."""

    cloud: ssl.SSLContext
    tunnel: ssl.SSLContext
    authority: bytes


def tls_pair(*, name: str = SERVER_NAME, alpn: Iterable[str] = ("h2",)) -> TlsPair:
    """Return contexts with a certificate for *name* that the tunnel trusts; the cloud agrees to one of *alpn*."""
    authority = trustme.CA()
    cloud = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(cloud)
    if alpn := list(alpn):
        cloud.set_alpn_protocols(alpn)
    tunnel = ssl.create_default_context()
    authority.configure_trust(tunnel)
    return TlsPair(cloud, tunnel, authority.cert_pem.bytes())


class Response(NamedTuple):
    """A complete answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class PlainEncoder(hpack.Encoder):
    """Encodes without Huffman, for which hpack takes minutes if the heads are long."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:  # noqa: ARG002 (the interface of hpack)
        return super().encode(headers, huffman=False)


class StreamResetError(Exception):
    """The tunnel reset the stream; the argument is the error code. Or the connection ended: None."""


class Exchange:
    """One stream that the cloud opened.

    Attributes:
        received: What came of the response's body and was not yet read.
        hold: Nothing that is received opens the window again, as of a client that does not read.
    """

    def __init__(self, line: Line, stream_id: int) -> None:
        self._line = line
        self.stream_id = stream_id
        self.hold = False
        self.headers: dict[str, str] | None = None
        self.response_trailers: dict[str, str] = {}
        self.received = bytearray()
        self.total = 0
        self.complete = False
        self.reset_code: int | None = None
        self.over = False
        self._unread = 0

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Send a part of the request's body; wait while the tunnel's windows are closed."""
        view = memoryview(data)
        h2_connection = self._line.h2
        while view:
            self._raise_if_gone()
            length = min(
                len(view),
                h2_connection.local_flow_control_window(self.stream_id),
                h2_connection.max_outbound_frame_size,
            )
            if length <= 0:
                await self._line.changed()
                continue
            h2_connection.send_data(self.stream_id, view[:length].tobytes(), end_stream=end and length == len(view))
            self._line.flush()
            view = view[length:]
        if end and not data:
            self.end()

    def end(self) -> None:
        """Complete the request."""
        self._line.h2.end_stream(self.stream_id)
        self._line.flush()

    def trailers(self, fields: Fields) -> None:
        """Complete the request with trailers."""
        self._line.h2.send_headers(self.stream_id, list(fields), end_stream=True)
        self._line.flush()

    def reset(self, code: h2.errors.ErrorCodes = h2.errors.ErrorCodes.CANCEL) -> None:
        """Give the stream up."""
        self._line.h2.reset_stream(self.stream_id, code)
        self._line.flush()
        self.over = True

    def sendable(self) -> int:
        """Return how many bytes the tunnel's windows have room for."""
        return self._line.h2.local_flow_control_window(self.stream_id)

    async def response(self) -> dict[str, str]:
        """Wait for the headers of the response, ``:status`` among them."""
        await self._line.until(lambda: self.headers is not None or self.over)
        if self.headers is None:
            self._raise_if_gone()
        assert self.headers is not None
        return self.headers

    async def read(self) -> bytes:
        """Wait for more of the response's body; b"" is its end."""
        await self._line.until(lambda: bool(self.received) or self.complete or self.over)
        if not self.received and not self.complete:
            self._raise_if_gone()
        data = bytes(self.received)
        self.received.clear()
        self._release()
        return data

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the response's body as it comes."""
        while data := await self.read():
            yield data

    async def whole(self) -> Response:
        """Wait for the end of the response."""
        headers = await self.response()
        body = b"".join([part async for part in self.parts()])
        return Response(int(headers[":status"]), headers, body)

    # What the line reports.

    def data(self, data: bytes, flow_controlled: int) -> None:
        self.received += data
        self.total += len(data)
        self._unread += flow_controlled
        # An exchange that nobody reads must not hold up the others: what it holds is the test's to bound.
        if not self.hold:
            self._release()

    def _release(self) -> None:
        if self._unread and not self.hold:
            unread, self._unread = self._unread, 0
            self._line.h2.acknowledge_received_data(unread, self.stream_id)
            self._line.flush()

    def _raise_if_gone(self) -> None:
        if self.over:
            raise StreamResetError(self.reset_code)


class Line(asyncio.Protocol):
    """One connection that a tunnel dialled: HTTP/2, with the cloud as its client.

    Attributes:
        hello: The response headers with which the tunnel introduced itself.
        goaways: The ``(last stream, error code)`` of those that came, in order.
        drained: Whether the tunnel was asked to go elsewhere.
        answers: Whether h2 answers by itself, to pings for instance.
        pings, pongs: How many came, of the tunnel's own and in answer to ours.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._changed = asyncio.Event()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="latin-1"))
        # h2 takes a GOAWAY as the end of everything, but what is open goes on (RFC 9113, 6.8).
        self.h2._frame_dispatch_table[GoAwayFrame] = self._goaway
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values=cloud.settings)
        self.h2.local_settings[h2.settings.SettingCodes.ENABLE_PUSH] = 0
        self.exchanges: dict[int, Exchange] = {}
        self.hello: dict[str, str] = {}
        self.goaways: list[tuple[int, int]] = []
        self.is_accepted = False
        self.drained = False
        self.deaf = False
        self.answers = True
        self.lost = False
        self.pings = 0
        self.pongs = 0
        self.settings_known = False
        self.transport: asyncio.Transport

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self._cloud.dialled(self)
        if not self._cloud.silent:
            self.h2.initiate_connection()
            self.flush()

    def data_received(self, data: bytes) -> None:
        if self._cloud.silent or self.deaf:
            return
        for event in self.h2.receive_data(data):
            self._handle(event)
        if not self.answers:
            self.h2.clear_outbound_data_buffer()
        self.flush()
        self._notify()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 (the interface of asyncio)
        self.lost = True
        for exchange in self.exchanges.values():
            exchange.over = True
        self._notify()

    # What a test does.

    async def handshake(self, status: str | None = "ok", **trailers: str | None) -> Exchange:
        """Open the first stream and finish it with *status*; further trailers by their names, None to leave one out."""
        exchange = await self.opened_handshake()
        exchange.trailers(self.outcome(status, **trailers))
        self.is_accepted = status == "ok"
        self._notify()
        return exchange

    async def opened_handshake(self) -> Exchange:
        """Open the first stream and wait for the answer; the outcome is for the caller to send."""
        exchange = self.open("/_/start-tunnel", method="GET")
        self.hello = await exchange.response()
        return exchange

    def outcome(self, status: str | None = "ok", **trailers: str | None) -> list[tuple[str, str]]:
        """Return the trailers that finish a handshake."""
        fields: dict[str, str | None] = {"tunnel-status": status}
        if status == "ok":
            fields["tunnel-name"] = self.hello.get("tunnel-name", "")
            fields["proxy-url"] = PROXY_URL
            fields["tunnel-url"] = TUNNEL_URL
        fields.update({name.replace("_", "-"): value for name, value in trailers.items()})
        return [(name, value) for name, value in fields.items() if value is not None]

    async def accepted(self) -> Line:
        """Wait until the handshake is over."""
        await self.until(lambda: self.is_accepted)
        return self

    def open(
        self, path: str, headers: Fields | Mapping[str, str] = (), *, method: str = "POST", end: bool = False
    ) -> Exchange:
        """Open a stream."""
        stream_id = self.h2.get_next_available_stream_id()
        if isinstance(headers, Mapping):
            headers = headers.items()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", "tunnel.test"), (":path", path)]
        self.h2.send_headers(stream_id, [*pseudo, *headers], end_stream=end)
        exchange = self.exchanges[stream_id] = Exchange(self, stream_id)
        self.flush()
        return exchange

    async def request(
        self, path: str, headers: Fields | Mapping[str, str] = (), *, method: str = "POST", body: bytes = b""
    ) -> Response:
        """Send a complete request and wait for the answer."""
        exchange = self.open(path, headers, method=method, end=not body)
        if body:
            await exchange.send(body, end=True)
        return await exchange.whole()

    @property
    def in_use(self) -> bool:
        """Whether a server would open another stream here: neither end has said that it is done."""
        return self.is_accepted and not (self.drained or self.goaways or self.lost)

    async def drain(self) -> Response:
        """Ask the tunnel to go elsewhere."""
        self.drained = True
        return await self.request("/_/drain-tunnel", method="GET")

    def goaway(self, code: h2.errors.ErrorCodes = h2.errors.ErrorCodes.NO_ERROR) -> None:
        """Announce that no more streams are opened on this connection."""
        self.drained = True
        frame = GoAwayFrame(0)
        frame.error_code = code
        self.raw(frame.serialize())

    def raw(self, data: bytes | Frame) -> None:
        """Send whatever it is."""
        self.flush()
        self.transport.write(data.serialize() if isinstance(data, Frame) else data)

    def kill(self) -> None:
        """Break the connection, without a word."""
        self.transport.abort()

    def close(self) -> None:
        """Close the connection, as TCP does."""
        self.transport.close()

    def freeze(self) -> None:
        """Stay connected, but neither read nor answer any more, as a machine that was unplugged."""
        self.deaf = True
        self.transport.pause_reading()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to become true of this connection."""

        async def wait() -> None:
            while not condition():
                await self.changed()

        await asyncio.wait_for(wait(), PATIENCE)

    async def ended(self) -> None:
        """Wait until the tunnel has closed the connection."""
        await self.until(lambda: self.lost)

    async def changed(self) -> None:
        """Wait until anything happens."""
        self._changed.clear()
        await self._changed.wait()

    def flush(self) -> None:
        """Send what h2 has ready, unless it is held back."""
        if not (self._held or self.transport.is_closing()):
            self.transport.write(self.h2.data_to_send())

    _held = False

    def hold_back(self) -> None:
        """Keep what is sent from now on, until `let_go` sends it in one piece."""
        self._held = True

    def let_go(self) -> None:
        """Send all that was held back."""
        self._held = False
        self.flush()

    # What arrives.

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.settings_known = True
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        exchange = self.exchanges.get(getattr(event, "stream_id", None) or 0)
        if exchange is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            exchange.headers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, h2.events.TrailersReceived):
            exchange.response_trailers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            exchange.data(event.data or b"", event.flow_controlled_length or 0)
        elif isinstance(event, h2.events.StreamEnded):
            exchange.complete = True
        elif isinstance(event, h2.events.StreamReset):
            exchange.over = True
            exchange.reset_code = event.error_code

    def _goaway(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        self.goaways.append((frame.last_stream_id, frame.error_code))
        return [], []

    def _notify(self) -> None:
        self._changed.set()
        self._cloud.notify()


Script = Callable[[Line], Awaitable[object]]


async def accept(line: Line) -> None:
    """Let the tunnel in: what a `Cloud` does with every connection, unless told otherwise."""
    await line.handshake()


class Cloud:
    """A tunnel server on a free port of the loopback interface.

    Args:
        script: What to do with each connection that is dialled.
        tls: The cloud's half of a `tls_pair`; plaintext without.
        silent: Accept connections, and then say nothing, not even in TLS.
        settings: HTTP/2 settings of the client, a smaller window for instance.

    Attributes:
        lines: The connections that were dialled, in order.
    """

    def __init__(
        self,
        script: Script | None = accept,
        *,
        tls: ssl.SSLContext | None = None,
        silent: bool = False,
        settings: Mapping[h2.settings.SettingCodes, int] | None = None,
    ) -> None:
        self.script = script
        self.silent = silent
        self.settings = dict(settings or {})
        self.lines: list[Line] = []
        self._tls = tls
        self._changed = asyncio.Event()
        self._scripts: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> Cloud:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Line(self), "127.0.0.1", 0, ssl=self._tls)
        self._port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._scripts:
            task.cancel()
        for line in self.lines:
            line.kill()
        await asyncio.sleep(0)

    @property
    def port(self) -> int:
        return self._port

    @property
    def target(self) -> Address:
        """What a tunnel dials to come here."""
        return Address("127.0.0.1", self._port, self._tls is not None, SERVER_NAME)

    async def line(self, index: int) -> Line:
        """Wait for the connection with this number; the first one is 0."""
        await self.until(lambda: len(self.lines) > index)
        return self.lines[index]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to become true of any connection."""

        async def wait() -> None:
            while not condition():
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), PATIENCE)

    def dialled(self, line: Line) -> None:
        self.lines.append(line)
        if self.script is not None and not self.silent:
            task = asyncio.ensure_future(self._run(self.script, line))
            self._scripts.add(task)
            task.add_done_callback(self._scripts.discard)
        self.notify()

    def notify(self) -> None:
        self._changed.set()

    async def _run(self, script: Script, line: Line) -> None:
        try:
            await script(line)
        except (StreamResetError, h2.exceptions.ProtocolError):
            pass  # the tunnel went away meanwhile, as tunnels do
