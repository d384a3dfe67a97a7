"""Verify many distinct valid tokens, and print this process's resident memory meanwhile as JSON lines."""

from __future__ import annotations

import gc
import json
import resource
import sys
from pathlib import Path

from benchmarks.contenders import PATH
from benchmarks.signed import KeyPair
from restate_identity import IdentityVerifier


def main(tokens: int, cache_size: int, steps: int) -> None:
    """Sign and verify *tokens* one by one; only the cache of *cache_size* keeps them."""
    pair = KeyPair()
    verifier = IdentityVerifier([pair.public], cache_size=cache_size)
    small = IdentityVerifier([pair.public], cache_size=0)
    # Allocate the first arenas and run every code path, so that they do not count as entries.
    for number in range(2000):
        small.verify_signature(PATH, "v1", pair.token(PATH, subject=f"warm-up-{number:07}"))
    _report(0)
    marks = {cache_size} | {cache_size + (tokens - cache_size) * step // steps for step in range(1, steps + 1)}
    for number in range(1, tokens + 1):
        verifier.verify_signature(PATH, "v1", pair.token(PATH, subject=f"object-{number:07}"))
        if number in marks:
            _report(number)
    info = verifier.cache_info()
    print(json.dumps({"hits": info.hits, "misses": info.misses, "kept": info.currsize, "maxsize": info.maxsize}))


def _report(verified: int) -> None:
    gc.collect()
    print(json.dumps({"verified": verified, "rss": resident()}), flush=True)


def resident() -> int:
    """Return the resident memory of this process, in bytes."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    # Other systems report only the peak, in bytes on macOS. It also shows whether the memory stops growing.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
