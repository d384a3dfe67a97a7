"""The fuzz targets. Each turns bytes into an input of one reader, and checks that the outcome is allowed."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fuzz.attempt import Attempt, Target, Violation, demand, is_safe_to_log, text
from fuzz.destinations import DESTINATION
from fuzz.seeds import CASES, GENUINE, KEYS, NOW, REQUESTS, SCHEME, TOKEN, VECTORS, decoded, value
from restate_identity import (
    Identity,
    IdentityVerifier,
    InvalidKeyError,
    PublicKey,
    VerificationError,
    _ed25519,
    _libsodium,
    current_identity,
)
from restate_identity._refusal_log import RefusalLog
from restate_identity.asgi import Message, Receive, RequestIdentityMiddleware, Scope, Send
from restate_identity.aws_lambda import require_request_identity
from restate_identity.encryption import EncryptionError, EncryptionReason, LocalKeys
from restate_identity.encryption.frames import head, is_reserved, read_frame
from restate_identity.encryption.local_key_file import line_of
from restate_identity.encryption.local_keys import MAGIC, PURPOSE
from restate_identity.encryption.opening import opened
from restate_identity.wsgi import RequestIdentityMiddleware as WSGIMiddleware
from tests.support import accelerator, forge
from tests.support.base64url import base64url
from tests.support.clock import Clock
from tests.support.lambda_events import SOURCES

clock = Clock(NOW)
# Without a cache every token is a new one.
verifier = IdentityVerifier(KEYS, clock=clock, cache_size=0)


class _Refused:
    """The last request that a guard refused, so that the message of every refusal is checked, not only logged ones."""

    def __init__(self) -> None:
        self._last: tuple[str, VerificationError] | None = None
        self._log = RefusalLog(burst=10**9)

    def accepted(self, identity: Identity, *, path: str, seconds: float) -> None:
        """It has no line in the log."""

    def refused(self, error: VerificationError, *, path: str, seconds: float) -> None:  # noqa: ARG002
        self._last = path, error

    def is_logged(self) -> None:
        last, self._last = self._last, None
        demand(last is not None, "refused, and nobody was told")
        assert last is not None
        self._log.refused(*last)


refused = _Refused()


def is_genuine(identity: Identity, path: str, now: float, data: bytes) -> None:
    """Check an accepted request against the genuine tokens of the seeds."""
    sent = [token for token in GENUINE if token.encode() in data]
    demand(bool(sent), "accepted, and there is no token in it that we signed")
    readings = [json.loads(decoded(token.split(".")[1])) for token in sent]
    seen = (identity.audience, identity.subject, identity.issued_at, identity.not_before, identity.expires_at)
    demand(
        any(seen == tuple(claims.get(name) for name in ("aud", "sub", "iat", "nbf", "exp")) for claims in readings),
        "an identity that nobody signed",
    )
    demand(path.endswith(identity.audience), "accepted for another path")
    demand(identity.not_before <= now < identity.expires_at, "accepted at another time")


# --- the token parser: four lines, the time, the path, the scheme and the token


def _token(data: bytes) -> Attempt:
    time, path, scheme, token = (text(line) for line in (data.split(b"\n", 3) + [b""] * 3)[:4])
    clock.now = float(time) if time.isascii() and time.isdigit() and len(time) < 300 else NOW

    def judge(outcome: Identity | VerificationError) -> None:
        if isinstance(outcome, VerificationError):
            is_safe_to_log(str(outcome))
        else:
            demand(token in GENUINE, "accepted, and we did not sign it")
            is_genuine(outcome, path, clock.now, data)

    return Attempt(lambda: _verdict(verifier, path, scheme, token), judge)


def _verdict(verifier: IdentityVerifier, path: str, scheme: str, token: str) -> Identity | VerificationError:
    try:
        return verifier.verify_signature(path, scheme, token)
    except VerificationError as error:
        return error


def _token_seeds() -> list[bytes]:
    times = [NOW] * (len(REQUESTS) - len(CASES)) + [case["time"] for case in CASES]
    return [
        "\n".join((str(time), path, value(headers, SCHEME), value(headers, TOKEN))).encode("utf-8", "surrogatepass")
        for time, (path, headers) in zip(times, REQUESTS, strict=True)
    ]


# --- the part behind a correct signature: JOSE header and claims, a line each, signed by the harness


_forge_verifier = IdentityVerifier([forge.KEY], clock=lambda: forge.NOW, cache_size=0)


def _claims(data: bytes) -> Attempt:
    header, _, payload = data.partition(b"\n")
    token = forge.signed(base64url(header), base64url(payload))

    def judge(outcome: Identity | VerificationError) -> None:
        if isinstance(outcome, VerificationError):
            is_safe_to_log(str(outcome))
            return
        jose, claims = json.loads(header), json.loads(payload)
        demand((jose["alg"], jose["kid"]) == ("EdDSA", forge.KEY), "another algorithm or key")
        demand(not jose.keys() & {"crit", "b64", "jwk", "jku", "x5c", "x5u"}, "a JOSE header that changes the reading")
        named = (claims["aud"], claims.get("sub"), claims["iat"], claims["nbf"], claims["exp"])
        demand(outcome == (forge.KEY, *named), "an identity that was not signed")
        demand(claims["aud"] == forge.PATH and claims["nbf"] <= forge.NOW < claims["exp"], "another path or time")

    return Attempt(lambda: _verdict(_forge_verifier, forge.PATH, "v1", token), judge)


def _claims_seeds() -> list[bytes]:
    seeds = [forge.compact_json(forge.header()) + b"\n" + forge.compact_json(forge.claims())]
    for _, headers in REQUESTS:
        with suppress(ValueError):
            header, payload, _ = value(headers, TOKEN).split(".")
            # Another key signs here; the rest of the case stays the same.
            jose = decoded(header).replace(KEYS[0].encode(), forge.KEY.encode())
            seeds.append(jose + b"\n" + decoded(payload))
    return seeds


# --- the adapters: the kind and, after a space, the path as it was sent; the path, and the headers, a line each; for
# --- Lambda an event as JSON

Answer = tuple[int, Identity | None]
"""The status of the response, and the identity if the application ran."""


def _answered(path: Any, data: bytes, raw_path: bytes = b"") -> Callable[[Answer], None]:
    def judge(answer: Answer) -> None:
        status, identity = answer
        if identity is None:
            demand(status == 401, f"refused with {status}")
            refused.is_logged()
            return
        demand(status == 200, f"served with {status}")
        is_genuine(identity, path, NOW, data)
        sent = unquote_to_bytes(raw_path.partition(b"?")[0])
        demand(not raw_path or sent.endswith(identity.audience.encode()), "accepted, and sent as another path")

    return judge


def _lines(data: bytes) -> tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]]]:
    start, path, *lines = [*data.split(b"\n"), b""]
    kind, _, raw_path = start.partition(b" ")
    pairs = (line.partition(b":") for line in lines)
    return kind, raw_path, path, [(name, value.removeprefix(b" ")) for name, _, value in pairs]


def _line_seeds() -> list[bytes]:
    requests = [
        "\n".join((kind, path, *(f"{name}: {value}" for name, value in headers)))
        for path, headers in REQUESTS
        for kind in ("http", "websocket", f"http {path}")
    ]
    # As many headers as the fuzzer can write: the guard must look at each of them once.
    crowds = (f"http\n/\n{before}" + "\na" * 9_000 for before in ("", f"{SCHEME}: v1", f"{TOKEN}: a\n{TOKEN}: a"))
    return [request.encode("utf-8", "surrogatepass") for request in (*requests, *crowds)]


async def _asgi_app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    await send({"type": "http.response.start", "status": 200, "identity": scope["restate_identity"]})


_asgi = RequestIdentityMiddleware(_asgi_app, verifier=verifier, observer=refused)


def _asgi_attempt(data: bytes) -> Attempt:
    kind, raw_path, path, headers = _lines(data)
    scope: dict[str, Any] = {
        "type": "websocket" if kind == b"websocket" else "http",
        "path": text(path),
        "headers": headers,
    }
    if raw_path:
        scope["raw_path"] = raw_path

    def call() -> Answer:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise Violation("the body was read")

        # Nothing waits, so no event loop is needed.
        with suppress(StopIteration):
            _asgi(scope, receive, send).__await__().__next__()
        start = sent[0]
        return (401 if start["type"] == "websocket.close" else start["status"]), start.get("identity")

    return Attempt(call, _answered(text(path), data, raw_path))


def _wsgi_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("identity", environ["restate_identity"])])
    return [b""]


_wsgi = WSGIMiddleware(_wsgi_app, verifier=verifier, observer=refused)


def _wsgi_attempt(data: bytes) -> Attempt:
    kind, raw_path, path, headers = _lines(data)
    # As a server passes it (PEP 3333): bytes as Latin-1, repeated headers joined.
    environ: dict[str, Any] = {
        "REQUEST_METHOD": kind.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": path.decode("latin-1"),
    }
    if raw_path:
        environ["RAW_URI"] = raw_path.decode("latin-1")
    for name, header in headers:
        variable = f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"
        values = filter(None, (environ.get(variable), header.decode("latin-1")))
        environ[variable] = ",".join(values)

    def call() -> Answer:
        started: list[tuple[int, Identity | None]] = []

        def start_response(status: str, headers: list[tuple[str, Any]]) -> None:
            started.append((int(status[:3]), dict(headers).get("identity")))

        for _ in _wsgi(environ, start_response):  # type: ignore[arg-type]
            pass
        return started[0]

    return Attempt(call, _answered(text(path), data, raw_path))


@require_request_identity(verifier=verifier, observer=refused)
def _lambda_handler(event: Any, context: object) -> Any:  # noqa: ARG001
    return {"statusCode": 200, "identity": current_identity()}


def _lambda_attempt(data: bytes) -> Attempt:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        event = text(data)

    def call() -> Answer:
        response = _lambda_handler(event, None)
        return response["statusCode"], response.get("identity")

    path = event.get("rawPath", event.get("path")) if isinstance(event, dict) else ""
    # Without the escapes that JSON allows in a token.
    return Attempt(call, _answered(path, json.dumps(event).encode()))


def _lambda_seeds() -> list[bytes]:
    return [
        json.dumps(source(path, headers), ensure_ascii=False).encode("utf-8", "surrogatepass")
        for number, (path, headers) in enumerate(REQUESTS)
        for position, source in enumerate(SOURCES.values())
        # All forms of some requests and one form of each.
        if number % 25 == 0 or position == number % len(SOURCES)
    ] + [
        # In an event a repeated header has its name once, so many values take little space.
        json.dumps(
            {"httpMethod": "POST", "path": "/", "requestContext": {}, "multiValueHeaders": {TOKEN: values}}
        ).encode()
        for values in (["v1"] * 2000, "v" * 15_000)
    ]


# --- the key parser: the text


def _key(data: bytes) -> Attempt:
    candidate = text(data)

    def call() -> PublicKey | None:
        try:
            return PublicKey.parse(candidate)
        except InvalidKeyError as error:
            demand("\n" not in str(error) and len(str(error)) < 1000, "a message that is not safe to log")
            return None

    def judge(key: PublicKey | None) -> None:
        demand(key is None or str(key) == candidate, "a key with two names")

    return Attempt(call, judge)


def _key_seeds() -> list[bytes]:
    keys = dict.fromkeys([*KEYS, *(key for case in CASES for key in case["keys"])])
    return [key.encode("utf-8", "surrogatepass") for key in keys]


# --- Ed25519: 32 bytes of a key, 64 of a signature, and the message


def _accelerators_key() -> Any:
    """Return the class of the accelerator, None if it was not built. Only here, because it changes every check."""
    sys.path.append(str(accelerator.SITE))
    module = _ed25519._accelerator()
    sys.path.remove(str(accelerator.SITE))
    return module and module.VerifyingKey


_AcceleratorsKey = _accelerators_key()


def _signature(data: bytes) -> Attempt:
    raw, signature, message = data[:32].ljust(32, b"\0"), data[32:96], data[96:]

    def call() -> list[tuple[bool, bool]]:
        verdicts = [_verdicts(_libsodium.is_sound(raw), _libsodium.VerifyingKey, raw, message, signature)]
        if _AcceleratorsKey:
            # It checks keys, too.
            verdicts.append(_verdicts(_can_be_made(raw), _AcceleratorsKey, raw, message, signature))
        return verdicts

    def judge(outcome: list[tuple[bool, bool]]) -> None:
        demand(len(set(outcome)) == 1, f"different verdicts by libsodium and the accelerator: {outcome}")

    return Attempt(call, judge)


def _verdicts(is_sound: bool, kind: Any, raw: bytes, message: bytes, signature: bytes) -> tuple[bool, bool]:
    return is_sound, is_sound and kind(raw).verify(message, signature)


def _can_be_made(raw: bytes) -> bool:
    try:
        _AcceleratorsKey(raw)
    except ValueError:
        return False
    return True


def _signature_seeds() -> list[bytes]:
    files = ("wycheproof_ed25519.json", "ed25519_edge_cases.json")
    cases = [case for file in files for case in json.loads((VECTORS / "data" / file).read_text("utf-8"))["cases"]]
    seeds = ["".join(case[name] for name in ("public_key", "signature", "message")) for case in cases]
    # Without the cases that test the length of a signature.
    return [bytes.fromhex(seed) for seed, case in zip(seeds, cases, strict=True) if len(case["signature"]) == 128]


# --- encrypted values of the journal: the value, read with a file of local keys

_LOCAL_KEY, _DATA_KEY, _IV = bytes(range(32)), bytes(range(32, 64)), bytes(12)
_LARGEST_DATA_KEY = 1024
_READS_ON = {None, EncryptionReason.UNKNOWN_DATA_KEY, EncryptionReason.CHANGED}


def _data_key(key_id: bytes) -> bytes:
    return MAGIC + bytes([len(key_id)]) + key_id + _IV + AESGCM(_LOCAL_KEY).encrypt(_IV, _DATA_KEY, PURPOSE + key_id)


def _local_keys() -> LocalKeys:
    with tempfile.NamedTemporaryFile("w", prefix="fuzz-keys-") as file:
        file.write(line_of("first", _LOCAL_KEY))
        file.flush()
        # Its clock stands still, so the file is not read again.
        return LocalKeys(Path(file.name), clock=lambda: 0.0)


_keys = _local_keys()
_ENCRYPTED = {
    head(_data_key(b"first")) + _IV + AESGCM(_DATA_KEY).encrypt(_IV, value, None): value
    for value in (b"a value of the journal", b"", b'{"card": "4111 1111"}', bytes(1000))
}
"""All that was encrypted with the data key, and the value of each."""


def _encrypted_value(data: bytes) -> Attempt:
    def call() -> bytes | EncryptionError:
        try:
            frame = read_frame(data, max_key_size=_LARGEST_DATA_KEY)
            demand(head(frame.encrypted_key) + frame.iv + frame.sealed == data, "other parts than those of the value")
            try:
                _keys.decrypt_data_key(frame.encrypted_key).send(None)
            except StopIteration as done:
                return opened(frame, AESGCM(done.value))
        except EncryptionError as error:
            return error
        raise Violation("local keys wait for something")

    def judge(outcome: bytes | EncryptionError) -> None:
        refusal = outcome.reason if isinstance(outcome, EncryptionError) else None
        if isinstance(outcome, EncryptionError):
            is_safe_to_log(str(outcome))
        else:
            demand(_ENCRYPTED.get(data) == outcome, "decrypted, and we did not encrypt it")
        expected = _refusal_by_form(data)
        demand(refusal in _READS_ON if expected is None else refusal is expected, f"{refusal}, and not {expected}")
        demand(is_reserved(data) or not data.startswith(b"RTv1"), "may be taken for plaintext")

    return Attempt(call, judge)


def _refusal_by_form(data: bytes) -> EncryptionReason | None:
    """Return why the form of a value is refused, by another reading of the format; None if it is not."""
    key_at = 7
    if data[:5] != b"RTv1\0":
        return EncryptionReason.NOT_ENCRYPTED
    if data[5:9] in (b"\x01\x02\x02\x00", b"\x01\x02\x03\x00"):
        return EncryptionReason.OLD_REVISION
    if len(data) < key_at or len(data) - key_at < data[5] * 256 + data[6] + 12 + 16:
        return EncryptionReason.TRUNCATED
    if data[5] * 256 + data[6] > _LARGEST_DATA_KEY:
        return EncryptionReason.OVERSIZED_DATA_KEY
    return None


def _encrypted_value_seeds() -> list[bytes]:
    first = next(iter(_ENCRYPTED))
    rest = first[len(head(_data_key(b"first"))) :]
    others = [_data_key(b"second"), _data_key(b"\xff"), MAGIC, bytes(184), bytes(2000)]
    return [
        *_ENCRYPTED,
        *(head(key) + rest for key in others),
        b"RTv1\0\x01\x02\x02\x00" + bytes(300),
        b"RTv1\0\xff\xff" + bytes(19_000),
        first[:-1],
        b"RTv1",
        b"RTv2\0" + first[5:],
        b'"plaintext"',
        b"",
    ]


class _EveryMessage(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        is_safe_to_log(record.getMessage())


logger = logging.getLogger("restate_identity")
logger.addHandler(_EveryMessage())
logger.propagate = False

TARGETS = {
    "token": Target(_token, _token_seeds),
    "claims": Target(_claims, _claims_seeds),
    "asgi": Target(_asgi_attempt, _line_seeds),
    "wsgi": Target(_wsgi_attempt, _line_seeds),
    "aws_lambda": Target(_lambda_attempt, _lambda_seeds),
    "key": Target(_key, _key_seeds),
    "signature": Target(_signature, _signature_seeds),
    "encrypted_value": Target(_encrypted_value, _encrypted_value_seeds),
    "destination": DESTINATION,
}
