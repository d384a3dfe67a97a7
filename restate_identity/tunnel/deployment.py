"""The URL under which a tunnel is registered as a deployment."""

from __future__ import annotations

from urllib.parse import urlsplit

from restate_identity.tunnel.token import is_header_safe

# They are never dialled, but they identify the deployment, and are the same for every one in a process.
SEGMENTS = "/http/in-process/9080/"
_DEFAULT_PORT = 9080


def deployment_url(proxy_url: str) -> str:
    """Return the URL to register, for the *proxy_url* that the tunnel server has sent.

    Raises:
        ValueError: *proxy_url* is not an HTTP URL.
    """
    try:
        url = urlsplit(proxy_url)
        port = url.port
    except ValueError:
        port, url = None, urlsplit("")
    if not is_header_safe(proxy_url) or url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc:
        raise ValueError("the tunnel server sent a proxy URL that is none, or that has a user in it")
    netloc = url.netloc.rstrip(":") if port is not None else f"{url.netloc.rstrip(':')}:{_DEFAULT_PORT}"
    return f"{url.scheme}://{netloc}{url.path.rstrip('/')}{SEGMENTS}"
