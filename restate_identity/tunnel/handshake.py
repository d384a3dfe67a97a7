"""The first stream of a connection: who we say that we are, and what the server makes of it. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from hpack import NeverIndexedHeaderTuple

START_PATH = b"/_/start-tunnel"
DRAIN_PATH = b"/_/drain-tunnel"
HEALTH_PATH = b"/_/health"

# Shorter texts may be in a URL by chance.
_SURELY_A_SECRET = 12

# What a server sees when a stream did not reach the application: it may send the request again, elsewhere.
DRAINING_HEADER = (b"x-restate-tunnel-draining", b"true")


@dataclass(frozen=True)
class Credentials:
    """What a connection introduces itself with.

    Attributes:
        environment_id: ``env_…``.
        tunnel_name: The name under which the deployment is registered.
        worker_id: Of this process; for the diagnostics of the server.
        read_token: Returns the auth token; called at each dial, so that a rotated one is used. OSError or ValueError
            means that there is none at the moment.
    """

    environment_id: str
    tunnel_name: str
    worker_id: str
    read_token: Callable[[], str] = field(repr=False)

    def response_headers(self, token: str, connection_id: str) -> list[tuple[bytes, bytes]]:
        """Return the answer to the first stream."""
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
        # Kept out of every compression table on the way (RFC 7541, 7.1.3).
        return [NeverIndexedHeaderTuple(*field) if field[0] == b"authorization" else field for field in encoded]


class Acceptance(NamedTuple):
    """The server accepted us."""

    tunnel_name: str
    proxy_url: str
    tunnel_url: str


class Refusal(NamedTuple):
    """The server did not accept us."""

    fatal: bool
    """Dialling again cannot help."""
    reason: str
    """Safe to log; names the remedy."""


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
    """Return whether *token* is in *text*; a short one, which may be there by chance, only as a word of its own."""
    if len(token) >= _SURELY_A_SECRET:
        return token in text
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(token)}(?![A-Za-z0-9])", text) is not None


def outcome(trailers: Iterable[tuple[bytes, bytes]], tunnel_name: str, token: str = "") -> Acceptance | Refusal:
    """Return what the *trailers* of the first stream say to somebody who asked for *tunnel_name* with *token*.

    What the server says is not repeated in the reason of a refusal: it may send the token back.
    """
    values: dict[str, str] = {}
    for raw_name, raw_value in trailers:
        name = raw_name.decode("latin-1")
        if name in values and name.startswith("tunnel-"):
            return Refusal(False, "the tunnel server sent a trailer twice")
        values[name] = raw_value.decode("latin-1")
    if token and any(_has(token, values.get(name, "")) for name in ("proxy-url", "tunnel-url")):
        return Refusal(False, "the tunnel server sent the auth token back")
    status = values.get("tunnel-status")
    if status is None:
        return Refusal(False, "the tunnel server did not say whether it accepts the tunnel")
    if status in _FATAL:
        return Refusal(True, _FATAL[status])
    if status == "too-many-tunnels":
        return Refusal(False, "the environment has too many tunnels (too-many-tunnels): stop some, or raise the quota")
    if status != "ok":
        return Refusal(False, f"the tunnel server answered with a status of {len(status)} characters that is not known")
    for name in ("tunnel-name", "proxy-url", "tunnel-url"):
        if not values.get(name):
            return Refusal(False, f"the tunnel server said ok, but not which {name}")
    if values["tunnel-name"] != tunnel_name:
        return Refusal(
            True,
            f"the tunnel server opened another tunnel than {tunnel_name!r}: "
            "the auth token belongs to another tunnel or environment",
        )
    return Acceptance(tunnel_name, values["proxy-url"], values["tunnel-url"])
