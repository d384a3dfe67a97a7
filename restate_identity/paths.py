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
    parts = path.rsplit("/", 3)
    if len(parts) == 4 and parts[1] == "invoke":
        return f"/invoke/{parts[2]}/{parts[3]}"
    if len(parts) > 1 and parts[-1] == "discover":
        return "/discover"
    return path
