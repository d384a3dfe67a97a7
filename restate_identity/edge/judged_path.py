"""The only paths that an edge lets through: the configured prefix, and what Restate calls, byte for byte.

A proxy, its service and the edge may each read a path in a different way. So nothing is decoded, resolved or searched
for here: a path has the exact form that a Restate server sends, or it is refused.
"""

from __future__ import annotations

import re

from restate_identity._quoting import quoted
from restate_identity._redaction import shown
from restate_identity.paths import MAX_PATH_SIZE, is_signed_form

_SEGMENT = "[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
_PREFIX = re.compile(f"(?:/{_SEGMENT})*")
_QUERY = re.compile(r"[!-~]*")


def checked_prefix(prefix: str) -> str:
    """Return *prefix* if an edge can compare paths with it.

    Raises:
        ValueError: It is not empty and not one or more plain segments, such as ``/restate``.
    """
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"the prefix {shown(str(prefix))!r} is not plain: it is empty, or segments of letters, digits and -._~ "
            "that each follow one slash and do not begin with a dot, such as '/restate'"
        )
    return prefix


def judged_path(reported: str, prefix: str) -> str | None:
    """Return the part of *reported* after *prefix*, without the query; None if it is not exactly what Restate calls.

    Args:
        reported: The path and query as the proxy reports them.
        prefix: A `checked_prefix`.
    """
    path, _, query = reported.partition("?")
    if len(reported) > MAX_PATH_SIZE or not path.startswith(prefix) or not _QUERY.fullmatch(query):
        return None
    inner = path[len(prefix) :]
    return inner if is_signed_form(inner) else None


def problem_of(reported: str | None, prefix: str) -> str:
    """Return why there is no judged path, safe to log."""
    if reported is None:
        return (
            "the proxy did not say exactly once which path was asked for: is --behind the proxy that asks, and is the "
            "configuration the one of the documentation?"
        )
    return (
        f"the proxy reports the path {quoted(reported)}, and only {prefix}/discover and "
        f"{prefix}/invoke/<service>/<handler> are let through: compare the prefix with the URL of the deployment"
    )
