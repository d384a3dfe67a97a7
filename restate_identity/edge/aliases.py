"""Names of headers that some servers take for those that only the proxy may set.

CGI, WSGI and PHP read every character but letters and digits as the same one: ``X.Restate+Identity_Key`` is
``X-Restate-Identity-Key`` there. A proxy removes the forged headers that it knows the name of, and passes these on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# The identity, and what some frameworks route on instead of the path.
_GUARDED = (b"x-restate-identity-subject", b"x-restate-identity-key", b"x-original-url", b"x-rewrite-url")
_LENGTHS = frozenset(map(len, _GUARDED))
_OTHER = b"[^a-z0-9]"
_SPELLINGS = re.compile(b"|".join(name.replace(b"-", _OTHER) for name in _GUARDED), re.IGNORECASE)

PROBLEM = (
    "a header has a name that some servers take for one that only the proxy may set, such as X_Restate.Identity+Key: "
    "somebody forged it"
)


def has_alias(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a header is spelled like one of the proxy's own, but not with hyphens.

    With hyphens it is the proxy's: each configuration replaces or removes it.
    """
    for name, _ in headers:
        # Few names have one of the lengths.
        if len(name) in _LENGTHS and _SPELLINGS.fullmatch(name) and name.lower() not in _GUARDED:
            return True
    return False
