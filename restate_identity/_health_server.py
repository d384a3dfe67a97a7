"""Answer ``GET /health``, and other small pages, over plain HTTP on a port of its own: for probes and for metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from restate_identity._waiting import limited

HEALTH_PATH = "/health"
# The maximum size of a request in bytes. A probe sends about a hundred.
_MAX_SIZE = 8 * 1024
# At the same time. Anybody may connect, and the descriptors are those of the requests too.
_MAX_CONNECTIONS = 64

Page = Callable[[], tuple[str, bytes]]


class HealthServer:
    """Answers ``GET /health`` with 200 while *is_serving* returns True, else with 503, from `start` to `close`.

    Args:
        is_serving: Returns whether the process serves requests.
        port: The port to listen on; 0 picks a free one.
        host: The address to listen on. None is all addresses, because the kubelet connects from outside the pod.
        report: Returns the body of the answer, JSON; by default it repeats the status.
        pages: Other paths, each with a function that returns the content type and the body.
        patience: How many seconds a client has to send its request, and again to read the answer.
    """

    def __init__(
        self,
        is_serving: Callable[[], bool],
        port: int,
        *,
        host: str | None = None,
        report: Callable[[], bytes] | None = None,
        pages: Mapping[str, Page] | None = None,
        patience: float = 5.0,
    ) -> None:
        self._is_serving = is_serving
        self._port = port
        self._host = host
        self._report = report
        self._pages = dict(pages or {})
        self._patience = patience
        # The oldest first.
        self._connections: dict[asyncio.StreamWriter, None] = {}
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Start listening.

        Raises:
            OSError: The port is in use, or this process may not use it.
        """
        self._server = await asyncio.start_server(self._answer, self._host, self._port, limit=_MAX_SIZE)

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = None
        if len(self._connections) > _MAX_CONNECTIONS:
            # A probe asks at once, so it is not the one that has waited longest.
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.transport.abort()
        try:
            head = await limited(reader.readuntil(b"\r\n\r\n"), self._patience)
            writer.write(self._response(head))
            await limited(writer.drain(), self._patience)
        except (asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            # Not closed: that would wait until a caller who does not read has read what was written.
            writer.transport.abort()
        finally:
            self._connections.pop(writer, None)
            writer.close()

    def _response(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
        content_type = "application/json"
        if path != HEALTH_PATH and path not in self._pages:
            status, body = "404 Not Found", b""
        elif method not in (b"GET", b"HEAD"):
            status, body = "405 Method Not Allowed", b""
        elif path in self._pages:
            status, (content_type, body) = "200 OK", self._pages[path]()
        else:
            serving = self._is_serving()
            status = "200 OK" if serving else "503 Service Unavailable"
            body = self._report() if self._report else b'{"status":"%s"}' % (b"serving" if serving else b"not serving")
        lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", f"content-length: {len(body)}"]
        lines += ["cache-control: no-store", "connection: close"]
        return "\r\n".join([*lines, "", ""]).encode() + (b"" if method == b"HEAD" else body)
