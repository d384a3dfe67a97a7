"""Find out whether an endpoint answers a request before its body ends. Restate's calls over HTTP/2 need that."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import closing
from urllib.parse import urlsplit

try:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import ResponseReceived
    from h2.exceptions import H2Error
except ImportError as _error:
    raise ImportError("h2 is missing: pip install 'restate-identity[cli]'", name=_error.name) from _error

# In seconds. Unless something buffers, an answer takes a round trip and some milliseconds.
PATIENCE = 3.0


def waits_for_the_end(url: str, *, patience: float = PATIENCE) -> bool | None:
    """Return whether an unsigned request for *url* over HTTP/2 is answered only after the end of its body.

    It uses no proxy of this machine. The result is None if there is no answer in *patience* seconds after that end
    either, or none over HTTP/2.
    """
    address = urlsplit(url)
    http = H2Connection(H2Configuration(client_side=True))
    http.initiate_connection()
    head = {":method": "POST", ":scheme": address.scheme, ":authority": address.netloc, ":path": address.path}
    http.send_headers(1, list(head.items()))
    http.send_data(1, b"{")
    try:
        with closing(_connected(address.scheme, str(address.hostname), address.port, patience)) as connection:
            if _is_answered(connection, http, patience):
                return False
            http.end_stream(1)
            return _is_answered(connection, http, patience) or None
    except (OSError, H2Error, ValueError):
        return None


def _connected(scheme: str, host: str, port: int | None, patience: float) -> socket.socket:
    if scheme == "http":
        return socket.create_connection((host, port or 80), timeout=patience)
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(socket.create_connection((host, port or 443), timeout=patience), server_hostname=host)


def _is_answered(connection: socket.socket, http: H2Connection, patience: float) -> bool:
    """Exchange bytes until the response begins, or return False after about *patience* seconds."""
    give_up_at = time.monotonic() + patience
    # Other frames do not prolong the wait, however many come.
    while time.monotonic() < give_up_at:
        connection.sendall(http.data_to_send())
        try:
            data = connection.recv(16384)
        except TimeoutError:
            return False
        if not data:
            raise ConnectionResetError("the endpoint closed the connection")
        if any(isinstance(event, ResponseReceived) for event in http.receive_data(data)):
            return True
    return False
