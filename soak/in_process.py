"""Soak without a server: flood the cache with forgeries, and verify in threads while keys and clock change."""

from __future__ import annotations

import secrets
import time

from restate_identity import IdentityVerifier, Reason, VerificationError
from restate_identity.signing import RequestSigner
from soak.tally import Tally
from soak.traffic import repeating
from tests.support.attacks import ADD

# Each of these needs a signature check, which costs about as much as all the others together.
ONE_IN = 10
KEPT = 64


def flood(requests: int, tally: Tally) -> None:
    """Verify many different forgeries with a full cache: no genuine token may be evicted."""
    signer = RequestSigner.generate()
    now = time.time()
    verifier = IdentityVerifier([signer.public_key], cache_size=KEPT, clock=lambda: now)
    genuine = [signer.token(ADD, subject=f"object {number}", now=now) for number in range(KEPT)]
    for token in genuine:
        verifier.verify_signature(ADD, "v1", token)
    stranger = RequestSigner.generate().token(ADD, now=now).rpartition(".")[0]
    signed = genuine[0].rpartition(".")[0]
    for number in range(requests):
        signature = secrets.token_urlsafe(64)
        forged = f"{signed if number % ONE_IN == 0 else stranger}.{signature}"
        _refused(verifier, forged, tally)
        tally.count("flood: forged tokens, refused")
    before = verifier.cache_info()
    for token in genuine:
        verifier.verify_signature(ADD, "v1", token)
    after = verifier.cache_info()
    tally.count("flood: genuine tokens still in the cache", after.hits - before.hits)
    if (after.hits - before.hits, after.misses, after.currsize) != (KEPT, before.misses, KEPT):
        tally.violation(f"the flood evicted genuine tokens: {before} became {after}")


def threads(seconds: float, tally: Tally) -> None:
    """Verify in threads while the keys are replaced and the clock jumps between three valid times."""
    steady, forger = RequestSigner.generate(), RequestSigner.generate()
    now = time.time()
    offset = [0.0]
    verifier = IdentityVerifier([steady.public_key], clock=lambda: now + offset[0])
    genuine = [steady.token(ADD, subject=str(number), now=now, leeway=300) for number in range(50)]
    forged = [forger.token(ADD, subject=str(number), now=now, leeway=300) for number in range(50)]

    def verify() -> None:
        for token, false in zip(genuine, forged, strict=True):
            try:
                verifier.verify_signature(ADD, "v1", token)
                tally.count("threads: genuine, accepted")
            except VerificationError as error:
                tally.violation(f"threads: a genuine token refused: {error.reason}")
            _refused(verifier, false, tally)
            tally.count("threads: forged, refused")

    ends = time.monotonic() + seconds
    # No pause, because only the verifier runs here.
    with repeating([verify] * 4, tally, pause=0):
        while time.monotonic() < ends:
            offset[0] = (0.0, 180.0, -180.0)[int(time.monotonic()) % 3]
            other = RequestSigner.generate()
            token = other.token(ADD, now=now, leeway=300)
            verifier.replace_keys([steady.public_key, other.public_key])
            verifier.verify_signature(ADD, "v1", token)
            verifier.replace_keys([steady.public_key])
            # This token is in the cache of the old keys, not in this one.
            _refused(verifier, token, tally, Reason.UNKNOWN_KEY)
            tally.count("threads: key replacements", 2)


def _refused(verifier: IdentityVerifier, token: str, tally: Tally, reason: Reason | None = None) -> None:
    try:
        verifier.verify_signature(ADD, "v1", token)
        tally.violation("in process: a forged token accepted")
    except VerificationError as error:
        if reason not in (None, error.reason):
            tally.violation(f"in process: refused as {error.reason}, not as {reason}")
