"""Random requests to a proxy that asks an edge, and the one invariant: what the service received is what was signed.

``python -m tests.servers.edge --requests 100000`` sends as many through each proxy.
"""

from __future__ import annotations

import itertools
import random
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

import h2.exceptions

from restate_identity.signing import RequestSigner
from tests.support.edge import Edge, Received, Service
from tests.support.edge_proxies import PREFIX
from tests.support.wire import Http2Connection, Http2Stream

SIGNED = ("/invoke/A/x", "/invoke/B/y", "/discover")
_SCHEME, _TOKEN = "x-restate-signature-scheme", "x-restate-jwt-v1"
_FORGED = "forged"
_NUMBER = "x-number-of-the-attack"
# What readers of paths quarrel over, alone and beside each other.
_PIECES = [
    *"#?;%\\/.:@{}|<>^`\"'~*+=&,! ",
    *("//", "/.", "/..", "/./", "/../", "..;/", "\t", "é", "\u2215", "http:", "//evil", "a", "_", "-"),
    *("%00", "%0a", "%20", "%23", "%2e", "%2e%2e", "%2f", "%2F", "%3b", "%3f", "%5c", "%61", "%6e", "%69nvoke"),
    *("%c0%af", "%zz", "%u002f"),
    *("/restate", "/RESTATE", "/invoke", "/Invoke", "/A", "/x", "/health", *SIGNED),
]
_SPOOFED = [
    *("X-Original-URI", "X-Forwarded-Uri", "X-Original-Url", "X-Rewrite-Url", "X_Original_URI", "X_Forwarded_Uri"),
    *("X-Forwarded-Prefix", "X-Envoy-Original-Path", "X-Replaced-Path", "X-Original-URI", "X-Forwarded-Uri"),
]
# Some servers read all these characters as the same one.
_SEPARATORS = "-_.+!"
_IDENTITY = [
    f"X{a}Restate{b}Identity{c}{last}"
    for last in ("Key", "Subject")
    for a, b, c in itertools.product(_SEPARATORS, repeat=3)
]
_ROUTING = [
    f"X{a}{what}{b}Url" for what in ("Original", "Rewrite") for a, b in itertools.product(_SEPARATORS, repeat=2)
]
_READ_AS_IDENTITY = {"x-restate-identity-key", "x-restate-identity-subject"}
_READ_AS_PATH = {"x-original-url", "x-rewrite-url"}


@dataclass
class Attack:
    """A request, and the audience of the token in it if a verifier may accept that."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    audience: str | None
    is_http2: bool

    def __str__(self) -> str:
        shown = [(name, value[:20]) for name, value in self.fields]
        return f"{'HTTP/2' if self.is_http2 else 'HTTP/1.1'} {self.target!r} {shown} (a token for {self.audience})"


class Attacker:
    """Sends random attacks to one proxy, one after the other."""

    def __init__(self, port: int, edge: Edge | None, service: Service, signer: RequestSigner, seed: int) -> None:
        self._port, self._edge, self._service = port, edge, service
        self._signer, self._stranger = signer, RequestSigner.generate()
        self._random = random.Random(seed)
        self._http1: socket.socket | None = None
        self._http2: Http2Connection | None = None
        self._recent: dict[str, Attack] = {}
        self.sent = self.let_through = 0

    def attack(self, count: int) -> None:
        """Send *count* requests, and check the invariant after each."""
        self._service.received.clear()
        try:
            for _ in range(count):
                attack = self._random_attack()
                # When a proxy gives a connection up, the request on it may reach the service after the next one.
                number = str(self.sent)
                attack.fields.append((_NUMBER.encode(), number.encode()))
                self._recent[number] = attack
                self._recent.pop(str(self.sent - 1000), None)
                if self._edge is not None:
                    self._edge.asked.clear()
                (self._send_http2 if attack.is_http2 else self._send_http1)(attack)
                self.sent += 1
                self._check_received()
        finally:
            self.close()

    def _check_received(self) -> None:
        while self._service.received:
            received = self._service.received.pop(0)
            self.let_through += 1
            (number,) = received.values(_NUMBER)
            check(self._recent[number], received, None if self._edge is None else str(self._signer.public_key))

    def close(self) -> None:
        """Close the connections."""
        if self._http1 is not None:
            self._http1.close()
            self._http1 = None
        if self._http2 is not None:
            self._http2.close()
            self._http2 = None

    def _random_attack(self) -> Attack:
        pick = self._random
        fields, audience = self._signature()
        target = PREFIX + (audience if audience and pick.random() < 0.7 else pick.choice(SIGNED))
        for _ in range(pick.choice([0, 0, 1, 1, 1, 2, 3])):
            place = pick.choice([len(target), len(PREFIX), pick.randrange(len(target) + 1)])
            cut = pick.choice([0, 0, 0, 1, pick.randrange(4)])
            target = target[:place] + pick.choice(_PIECES) + target[place + cut :]
        if not target.startswith("/") and pick.random() < 0.9:
            # Rare, because for each of them Envoy keeps the connection for a second before it closes it.
            target = "/" + target
        is_http2 = pick.random() < 0.5
        if not is_http2:
            # They would end the request line.
            target = target.replace(" ", "%20").replace("\t", "%09")
            if pick.random() < 0.05:
                target = f"http://{pick.choice(['localhost', 'evil'])}{target}"
        genuine = PREFIX + pick.choice(SIGNED)
        for _ in range(pick.choice([0, 0, 1, 2])):
            fields.append((pick.choice(_SPOOFED), pick.choice([genuine, PREFIX, "/", target, pick.choice(SIGNED)])))
        if pick.random() < 0.3:
            fields.append((pick.choice(pick.choice([_IDENTITY, _ROUTING])), _FORGED))
        if pick.random() < 0.05 and not is_http2:
            fields.append(("Connection", pick.choice([_TOKEN, _SCHEME, *_SPOOFED, *_IDENTITY])))
        pick.shuffle(fields)
        encoded = [
            ((name.lower() if is_http2 else name).encode(), value.encode("utf-8", "replace")) for name, value in fields
        ]
        # Over HTTP/2 a CONNECT has no path.
        method = pick.choice(["GET", "POST", "HEAD", "OPTIONS", "PURGE", "GET" if is_http2 else "CONNECT"])
        return Attack(method.encode(), target.encode(), encoded, audience, is_http2)

    def _signature(self) -> tuple[list[tuple[str, str]], str | None]:
        audience = self._random.choice(SIGNED)
        token = self._signer.token(audience)
        kind = self._random.randrange(12)
        others: list[Callable[[], list[tuple[str, str]]]] = [
            list,
            lambda: [(_SCHEME, "unsigned")],
            lambda: [(_SCHEME, "v1")],
            lambda: [(_SCHEME, "v1"), (_TOKEN, self._stranger.token(audience))],
            lambda: [(_SCHEME, "v1"), (_TOKEN, self._signer.token(audience, now=1_000_000_000))],
            lambda: [(_SCHEME, "v1"), (_TOKEN, token), (_TOKEN, self._signer.token("/invoke/B/y"))],
            lambda: [(_SCHEME, "v1"), (_TOKEN.replace("-", "_"), token)],
        ]
        if kind < len(others):
            return others[kind](), None
        return [(_SCHEME, "v1"), (_TOKEN, token)], audience

    def _send_http1(self, attack: Attack) -> None:
        if self._http1 is None:
            self._http1 = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        lines = [attack.method + b" " + attack.target + b" HTTP/1.1", b"host: localhost"]
        lines += [name + b": " + value for name, value in attack.fields]
        try:
            self._http1.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
            response = HTTPResponse(self._http1, method=attack.method.decode())
            response.begin()
            response.read()
            if not response.will_close:
                response.close()
                return
        except (OSError, HTTPException):
            pass
        self._http1.close()
        self._http1 = None

    def _send_http2(self, attack: Attack) -> None:
        if self._http2 is None:
            self._http2 = Http2Connection(self._port)
        try:
            stream = Http2Stream(self._http2, attack.method.decode(), attack.target, attack.fields)
            stream.status()
            stream.rest()
        except (OSError, h2.exceptions.H2Error):
            self._http2.close()
            self._http2 = None


def check(attack: Attack, received: Received, key: str | None) -> None:
    """Raise AssertionError unless the service may have received this, with *key* as the identity."""
    path = received.target.partition(b"?")[0]
    allowed = {PREFIX + attack.audience} if attack.audience else set()
    assert path in {text.encode() for text in allowed}, f"the service received {path!r} of {attack}"
    read = [(re.sub("[^a-z0-9]", "-", name.decode("latin-1").lower()), value) for name, value in received.headers]
    identity = [value.decode() for name, value in read if name in _READ_AS_IDENTITY]
    assert identity == ([] if key is None else [key]), f"the service received the identity {identity} of {attack}"
    assert not {name for name, _ in read} & _READ_AS_PATH, f"the service received {read} of {attack}"
