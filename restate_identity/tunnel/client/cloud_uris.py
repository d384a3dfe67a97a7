"""Where the remote proxies send requests, and with them the API key."""

from __future__ import annotations

from collections.abc import Collection

from restate_identity._redaction import shown
from restate_identity.tunnel.client.origins import Origin, address_of, host_of, origin_in
from restate_identity.tunnel.targets import is_region


def origin_of_region(environment_id: str, region: str, port: int) -> Origin:
    """Return where the API at *port* of an environment is, ``https://<id without env_>.env.<region>.restate.cloud``.

    Raises:
        ValueError: The region is none, or the environment id cannot be a part of a name.
    """
    if not is_region(region):
        raise ValueError(f"the region must be DNS labels in lower case, such as eu, not {shown(region)!r}")
    label = environment_id.removeprefix("env_").lower()
    try:
        return Origin("https", host_of(f"{label}.env.{region}.restate.cloud"), port)
    except ValueError:
        raise ValueError(
            f"no name of Restate Cloud can be made from the environment id {shown(environment_id)!r}: pass "
            "--ingress-uri and --admin-uri, or --no-remote-proxy"
        ) from None


def cloud_origin(text: str, cleartext_hosts: Collection[str]) -> Origin:
    """Parse *text*, ``https://host[:port]``. ``http`` is only for this machine, and for the *cleartext_hosts*.

    Raises:
        ValueError: It is something else, or would send the API key in cleartext.
    """
    try:
        found = origin_in(text.removesuffix("/"))
    except ValueError as error:
        raise ValueError(f"{shown(text)!r} is not https://host:port, without user and path: {error}") from None
    if found.scheme == "http" and not _is_near(found.host) and found.host not in cleartext_hosts:
        raise ValueError(
            f"{text} would send the API key in cleartext: use https, or, if you trust the network in between, pass "
            f"--cleartext-host {found.host}, or set RESTATE_CLEARTEXT_HOSTS"
        )
    return found


def _is_near(host: str) -> bool:
    address = address_of(host)
    return host == "localhost" if address is None else address.is_loopback
