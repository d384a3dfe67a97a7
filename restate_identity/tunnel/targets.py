"""What a connection dials."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """One tunnel server.

    Attributes:
        host, port: Where to dial.
        tls: Whether to speak TLS; without it, HTTP/2 with prior knowledge.
        server_name: The name to ask for (SNI) and to verify the certificate against.
    """

    host: str
    port: int
    tls: bool
    server_name: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"
