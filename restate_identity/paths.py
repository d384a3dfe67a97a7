"""Which part of a request's path Restate signs."""

from __future__ import annotations


def signed_path(path: str) -> str:
    """Return the part of *path* that Restate signs as the token's audience.

    A deployment may be mounted under any prefix, so only the end counts: ``/invoke/<service>/<handler>``, else
    ``/discover``, else all of *path*.

    Args:
        path: The decoded path that the application routes on, without the query.

    Source: the path rule of Restate's shared SDK core; the cases are in ``tests/vectors/signed_path.json``.
    """
    # At most three cuts from the right: the cost does not grow with the number of segments.
    _, *segments = path.rsplit("/", 3)
    if len(segments) == 3 and segments[0] == "invoke":
        return f"/invoke/{segments[1]}/{segments[2]}"
    if segments and segments[-1] == "discover":
        return "/discover"
    return path
