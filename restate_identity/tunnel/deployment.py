"""The URL to register a tunnel with, as a deployment of Restate."""

from __future__ import annotations

from urllib.parse import urlsplit

from restate_identity.tunnel.token import is_header_safe

# Scheme, host and port of every in-process deployment. They identify the deployment; nobody dials them.
SEGMENTS = "/http/in-process/9080/"
_DEFAULT_PORT = 9080


def deployment_url(proxy_url: str, segments: str = SEGMENTS) -> str:
    """Return the deployment URL for the *proxy_url* that the tunnel server sent.

    Args:
        proxy_url: The public URL of the tunnel.
        segments: Scheme, host and port of the service, ``/http/greeter/9080/``.

    Raises:
        ValueError: *proxy_url* is not an HTTP URL, or contains a user.
    """
    try:
        url = urlsplit(proxy_url)
        port = url.port
    except ValueError:
        port, url = None, urlsplit("")
    if not is_header_safe(proxy_url) or url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc:
        raise ValueError("the tunnel server sent a proxy URL that is not an HTTP URL, or that contains a user")
    netloc = url.netloc if port is not None else f"{url.netloc.rstrip(':')}:{_DEFAULT_PORT}"
    return f"{url.scheme}://{netloc}{url.path.rstrip('/')}{segments}"
