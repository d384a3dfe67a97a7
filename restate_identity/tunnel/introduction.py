"""Run the handshake on the first stream of a connection: we send our credentials, and the server accepts or refuses."""

from __future__ import annotations

from collections.abc import Callable

import h2.events

from restate_identity.tunnel.deadline import Deadline
from restate_identity.tunnel.handshake import START_PATH, Acceptance, Credentials, Refusal, outcome
from restate_identity.tunnel.output import Output
from restate_identity.tunnel.received import RequestReceived, StreamFault, TrailersReceived, WireEvent
from restate_identity.tunnel.request import request_head


class Introduction:
    """The handshake of one connection.

    Args:
        output: The sending half of the connection.
        credentials: What to authenticate with.
        connection_id: The connection's id, for the server's diagnostics.
        patience: How many seconds the server has to open the handshake stream and to finish it.
        on_opened: Called when the server has opened the handshake stream.
        on_outcome: Called once, with the server's answer or with the error.
    """

    def __init__(
        self,
        output: Output,
        credentials: Credentials,
        *,
        connection_id: str,
        patience: float,
        on_opened: Callable[[], None],
        on_outcome: Callable[[Acceptance | Refusal], None],
    ) -> None:
        self._output = output
        self._credentials = credentials
        self._connection_id = connection_id
        self._patience = patience
        self._on_opened = on_opened
        self._on_outcome = on_outcome
        self._deadline = Deadline()
        self._token = ""
        self._stream_id: int | None = None

    def prepare(self) -> None:
        """Read the auth token.

        Raises:
            OSError, ValueError: No token can be read at the moment.
        """
        self._token = self._credentials.read_token()

    def begin(self) -> None:
        """Start the time limit, and wait for the server to open the handshake stream."""
        self._deadline.set(self._patience, self._overdue)

    def end(self) -> None:
        """Forget the token, and cancel the time limit."""
        self._token = ""
        self._deadline.cancel()

    def took(self, event: WireEvent) -> bool:
        """Handle *event* if it belongs to the handshake, and return whether it did."""
        if not self._deadline.is_set:
            return False
        if isinstance(event, RequestReceived):
            return self._stream_id is None and self._opened(event)
        if self._stream_id is None or getattr(event, "stream_id", None) != self._stream_id:
            return False
        if isinstance(event, TrailersReceived):
            self._finish(outcome(event.headers.fields, self._credentials.tunnel_name, self._token))
        elif isinstance(event, h2.events.StreamEnded):
            self._finish(outcome((), self._credentials.tunnel_name, self._token))
        elif isinstance(event, h2.events.StreamReset):
            self._finish(Refusal(False, "the server reset the handshake stream"))
        elif isinstance(event, StreamFault):
            self._finish(Refusal(False, f"the handshake stream is malformed: {event.reason}"))
        else:
            return False
        return True

    def _opened(self, event: RequestReceived) -> bool:
        request = request_head(event.headers, ended=event.ended)
        if request.target.partition(b"?")[0] != START_PATH or request.method != "GET":
            return False
        self._stream_id = event.stream_id
        headers = self._credentials.response_headers(self._token, self._connection_id)
        self._output.headers(event.stream_id, headers, end=True)
        self._on_opened()
        return True

    def _overdue(self) -> None:
        missing = "open the handshake stream" if self._stream_id is None else "say whether it accepts us"
        self._finish(
            Refusal(False, f"the server did not {missing} within {self._patience:g} s: is it a tunnel server?")
        )

    def _finish(self, result: Acceptance | Refusal) -> None:
        self.end()
        self._on_outcome(result)
