"""The address of a tunnel server, and its text form."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from restate_identity._redaction import shown

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_LABELS = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.IGNORECASE).fullmatch
_LOWER_CASE_LABELS = re.compile(rf"{_LABEL}(\.{_LABEL})*").fullmatch
# The name of an SRV record may have labels like _tunnel (RFC 2782).
_RECORD = re.compile(rf"(_?{_LABEL})(\._?{_LABEL})*\.?", re.IGNORECASE).fullmatch
MAX_NAME_LENGTH = 253
_PORTS = {"https": 443, "http": 80}


class Target(NamedTuple):
    """The address of one tunnel server.

    Attributes:
        host, port: The address to dial.
        tls: Whether to use TLS; otherwise cleartext HTTP/2 with prior knowledge.
        server_name: The name for SNI, which the certificate is verified against.
    """

    host: str
    port: int
    tls: bool
    server_name: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


def parse_target(text: str) -> Target:
    """Parse *text*: ``host:port`` or ``https://host[:port]``, or ``http://…`` for cleartext.

    Raises:
        ValueError: *text* has none of these forms. The message says what is expected.
    """
    scheme, separator, _ = text.partition("://")
    try:
        address = urlsplit(text if separator else f"//{text}")
        host, port = address.hostname, address.port
    except ValueError:
        raise ValueError(_complaint(text)) from None
    scheme = address.scheme if separator else "https"
    if port is None and separator:
        port = _PORTS.get(scheme)
    rest = address.path.strip("/") or address.query or address.fragment or "@" in address.netloc
    if scheme not in _PORTS or not host or not port or rest or not (_LABELS(host) or ":" in host):
        raise ValueError(_complaint(text))
    return Target(host, port, scheme == "https", host)


def is_region(text: str) -> bool:
    """Return whether *text* is one or more DNS labels in lower case, separated by dots."""
    return len(text) <= MAX_NAME_LENGTH and _LOWER_CASE_LABELS(text) is not None


def is_record_name(text: str) -> bool:
    """Return whether *text* can be the name of an SRV record."""
    return len(text) <= MAX_NAME_LENGTH and _RECORD(text) is not None


def _complaint(text: str) -> str:
    return (
        f"{shown(text)!r} is not a tunnel server: write host:port, https://host:port, or http://host:port for "
        "cleartext, without user, password and path"
    )
