"""What runs in Pyodide: print the verdicts of the library on all vectors, as JSON. There is no pytest here."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from restate_identity import (
    ED25519_IMPLEMENTATION,
    Identity,
    IdentityVerifier,
    InvalidKeyError,
    PublicKey,
    VerificationError,
    current_identity,
)
from restate_identity.asgi import RequestIdentityMiddleware

VECTORS = Path("/repository/tests/vectors")
# A key is checked in some hundredths of a second here, and the same few are in many cases.
parsed = lru_cache(PublicKey.parse)


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of a file; none if it has another form."""
    document = json.loads((VECTORS / name).read_text("utf-8"))
    return document.get("cases", []) if isinstance(document, dict) else []


def judged(case: dict[str, Any]) -> str:
    """The verdict on the request of a case: `valid`, or the reason of the refusal."""
    try:
        verifier = IdentityVerifier([parsed(key) for key in case["keys"]], clock=lambda: case["time"])
    except InvalidKeyError:
        return "invalid_key"
    except ValueError:
        return "no_key"
    try:
        verifier.verify(case["path"], [(name, value) for name, value in case["headers"]])
    except VerificationError as error:
        return error.reason.value
    return "valid"


def signature_accepted(case: dict[str, Any]) -> bool | str:
    key, message, signature = (bytes.fromhex(case[name]) for name in ("public_key", "message", "signature"))
    try:
        return PublicKey(key).verify(message, signature)
    except InvalidKeyError:
        return "invalid_key"


def served(case: dict[str, Any], *, forged: bool) -> tuple[int, str | None]:
    """What the ASGI middleware makes of a genuine case: the status, and the audience that the application saw."""
    seen: list[Identity | None] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
        seen.append(current_identity())
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (name.encode(), (value[:-10] + "AAAAAAAAAA" if forged and "." in value else value).encode())
        for name, value in case["headers"]
    ]
    verifier = IdentityVerifier([parsed(key) for key in case["keys"]], clock=lambda: case["time"])
    scope = {"type": "http", "path": case["path"], "headers": headers}
    call = RequestIdentityMiddleware(app, verifier=verifier)(scope, None, send)  # type: ignore[arg-type]
    # Nothing waits, so no event loop is needed.
    with suppress(StopIteration):
        call.__await__().__next__()
    return sent[0]["status"], seen[0].audience if seen and seen[0] else None


def main() -> None:
    requests = [case for file in sorted(VECTORS.glob("*.json")) for case in cases(file.name) if "headers" in case]
    genuine = next(case for case in cases("genuine.json") if case["verdict"] == "valid")
    found = {
        "platform": sys.platform,
        "implementation": ED25519_IMPLEMENTATION,
        "vectors": {case["id"]: judged(case) for case in requests},
        "wycheproof": [signature_accepted(case) for case in cases("data/wycheproof_ed25519.json")],
        "edge cases": [signature_accepted(case) for case in cases("data/ed25519_edge_cases.json")],
        "middleware": [served(genuine, forged=False), served(genuine, forged=True)],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
