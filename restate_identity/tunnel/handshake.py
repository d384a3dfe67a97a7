"""The messages of the handshake: our credentials, and the server's answer to them. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from hpack import NeverIndexedHeaderTuple

START_PATH = b"/_/start-tunnel"
DRAIN_PATH = b"/_/drain-tunnel"
HEALTH_PATH = b"/_/health"

# A shorter token may occur in a URL by chance.
_SURELY_A_SECRET = 12

# Tells the server that the request did not reach the application, so it may send the request elsewhere.
DRAINING_HEADER = (b"x-restate-tunnel-draining", b"true")


@dataclass(frozen=True)
class Credentials:
    """What a connection authenticates with.

    Attributes:
        environment_id: ``env_…``.
        tunnel_name: The name of the deployment.
        worker_id: The name of this process, for the server's diagnostics.
        read_token: Returns the auth token. It is called at each dial, so that a rotated token is used. OSError or
            ValueError means that no token can be read at the moment.
    """

    environment_id: str
    tunnel_name: str
    worker_id: str
    read_token: Callable[[], str] = field(repr=False)

    def response_headers(self, token: str, connection_id: str) -> list[tuple[bytes, bytes]]:
        """Return the headers of our answer to the handshake stream."""
        fields = (
            (":status", "200"),
            ("authorization", f"Bearer {token}"),
            ("environment-id", self.environment_id),
            ("tunnel-name", self.tunnel_name),
            ("tunnel-worker-id", self.worker_id),
            ("tunnel-connection-id", connection_id),
            ("supports-drain", "true"),
            ("supports-client-drain", "true"),
        )
        encoded = [(name.encode("ascii"), value.encode("ascii")) for name, value in fields]
        # Proxies must not put it into a compression table either (RFC 7541, 7.1.3).
        return [NeverIndexedHeaderTuple(*field) if field[0] == b"authorization" else field for field in encoded]


class Acceptance(NamedTuple):
    """The server accepted us."""

    tunnel_name: str
    proxy_url: str
    tunnel_url: str


class Refusal(NamedTuple):
    """The server did not accept us."""

    fatal: bool
    """Whether dialling again would not help."""
    reason: str
    """Says why and, if it is fatal, what to do; it is safe to log."""


_FATAL = {
    "unauthorized": (
        "the tunnel server does not accept the auth token (unauthorized): "
        "check that RESTATE_AUTH_TOKEN, or the file it is read from, holds a valid API key of this environment"
    ),
    "bad-tunnel-name": (
        "the tunnel server does not accept the tunnel name (bad-tunnel-name): "
        "use letters, digits, '.', '_' and '-', and a name that is yours"
    ),
}


def _has(token: str, text: str) -> bool:
    """Return whether *text* contains *token*. A short token may occur by chance, so it counts only as a whole word."""
    if len(token) >= _SURELY_A_SECRET:
        return token in text
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(token)}(?![A-Za-z0-9])", text) is not None


def outcome(trailers: Iterable[tuple[bytes, bytes]], tunnel_name: str, token: str) -> Acceptance | Refusal:
    """Return the server's answer in the *trailers* of the handshake stream, to our *tunnel_name* and *token*.

    The reason of a refusal does not quote the server, which may send the token back.
    """
    values: dict[str, str] = {}
    for raw_name, raw_value in trailers:
        name = raw_name.decode("latin-1")
        if name in values and name.startswith("tunnel-"):
            return Refusal(False, "the tunnel server sent a trailer twice")
        values[name] = raw_value.decode("latin-1")
    status = values.get("tunnel-status")
    if status is None:
        return Refusal(False, "the tunnel server did not say whether it accepts the tunnel")
    if status in _FATAL:
        return Refusal(True, _FATAL[status])
    if status == "too-many-tunnels":
        return Refusal(False, "the environment has too many tunnels (too-many-tunnels): stop some, or raise the quota")
    if status != "ok":
        return Refusal(False, f"the tunnel server answered with an unknown status of {len(status)} characters")
    for name in ("tunnel-name", "proxy-url", "tunnel-url"):
        if not values.get(name):
            return Refusal(False, f"the tunnel server said ok, but sent no {name}")
    if values["tunnel-name"] != tunnel_name:
        return Refusal(
            True,
            f"the tunnel server opened a tunnel other than {tunnel_name!r}: "
            "the auth token belongs to another tunnel or environment",
        )
    urls = (values["proxy-url"], values["tunnel-url"])
    if any(_has(token, url) for url in urls):
        return Refusal(False, "the tunnel server sent the auth token back")
    return Acceptance(tunnel_name, *urls)
