"""The complete configuration of the command: an option, else a variable, else an error that names both.

Nothing here does I/O: the environment is an argument, and the token file is not opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from restate_identity._redaction import shown
from restate_identity.telemetry import Observer
from restate_identity.tunnel.client.allow_list import AllowList
from restate_identity.tunnel.client.cloud_uris import cloud_origin, origin_of_region
from restate_identity.tunnel.client.limits import Limits
from restate_identity.tunnel.client.proxies.callers import Callers
from restate_identity.tunnel.client.proxies.remote_proxies import Port
from restate_identity.tunnel.client.serve_address import ServeAddress, serve_address
from restate_identity.tunnel.client.settings import GRACE, ClientSettings
from restate_identity.tunnel.client.variables import SETTINGS, VARIABLES, Choices
from restate_identity.tunnel.options import TunnelOptions, tunnel_options
from restate_identity.tunnel.settings import TunnelSettings
from restate_identity.tunnel.timings import TunnelTimings

PORTS = {"ingress": 8080, "admin": 9070}
HEALTH_ADDRESS = "[::]:9090"
CONNECT = 5.0
# Of each group, one is needed.
_REQUIRED = (
    ("tunnel_name",),
    ("environment_id",),
    ("signing_public_key",),
    ("auth_token_file", "auth_token"),
    ("region", "servers", "servers_srv"),
    ("targets",),
)
_PROXY_OPTIONS = (
    *("ingress_uri", "admin_uri", "ingress_serve_address", "admin_serve_address"),
    *("proxy_hosts", "proxy_origins", "cleartext_hosts"),
)


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What the command runs with."""

    settings: ClientSettings
    health: ServeAddress
    ports: tuple[Port, ...]
    """The remote proxies; empty if there are none."""
    callers: Callers


def configuration(
    given: Mapping[str, Any], environ: Mapping[str, str], *, observer: Observer | None = None
) -> Configuration:
    """Return the configuration.

    Args:
        given: The options that were passed, by the names in `SETTINGS`.
        environ: The variables of the process.
        observer: Receives the outcome of every verified request.

    Raises:
        ValueError: A setting is missing, contradictory or malformed. The message says what to do.
        InvalidKeyError: A signing key cannot be used. This is a ValueError too.
    """
    choices = Choices(given, environ)
    _check_missing(choices)
    options = _tunnel(choices)
    connect = _seconds(choices, "connect_timeout", CONNECT)
    settings = ClientSettings(
        options=options,
        targets=AllowList.parse(choices.words("targets")),
        timings=TunnelTimings(connect=connect, grace=_seconds(choices, "shutdown_timeout", GRACE, least=0)),
        limits=Limits(connect=connect),
        observer=observer,
    )
    return Configuration(
        settings=settings,
        health=_address(choices, "health_serve_address", HEALTH_ADDRESS),
        ports=_ports(choices, options) if _has_proxies(choices) else (),
        callers=Callers(choices.words("proxy_hosts"), choices.words("proxy_origins")),
    )


def _check_missing(choices: Choices) -> None:
    """Fail if required settings are missing, and name all of them."""
    missing = []
    for group in _REQUIRED:
        if not any(name in choices for name in group):
            settings = [SETTINGS[name] for name in group]
            options = " or ".join(setting.option for setting in settings if setting.option)
            missing.append(f"{options} ({' or '.join(setting.variable for setting in settings)})")
    if missing:
        raise ValueError(f"the tunnel client needs {', '.join(missing)}")
    if "auth_token" in choices and "auth_token_file" in choices:
        origins = f"{choices.origin('auth_token')} and {choices.origin('auth_token_file')}"
        raise ValueError(f"{origins} are both set: leave out one, so that there is one API key")


def _tunnel(choices: Choices) -> TunnelOptions:
    names = ["tunnel_name", "environment_id", "signing_public_key", "auth_token", "auth_token_file", "worker_id"]
    servers: tuple[str, ...] | None = None
    if choices.option("servers") or not choices.option("servers_srv"):
        servers = choices.words("servers") or None
    # The region also says where the ingress and the admin API are, so it may be set beside the servers.
    if choices.option("servers_srv") or not servers:
        names.append("servers_srv" if "servers_srv" in choices else "region")
    passed = {name: choices.option(name) for name in names}
    variables = VARIABLES._asdict()
    environ = {variables[name]: text for name in names if (text := choices.variable(name)) is not None}
    return tunnel_options(environ, TunnelSettings(servers=servers, **passed), VARIABLES)


def _has_proxies(choices: Choices) -> bool:
    option = choices.option("remote_proxy")
    written = choices.text("remote_proxy", "true")
    text = written.lower()
    if text not in ("true", "false"):
        # As it was written: in lower case a secret does not look like one.
        raise ValueError(f"{choices.origin('remote_proxy')} must be true or false, not {shown(written)!r}")
    if text == "false":
        useless = [str(SETTINGS[name].option) for name in _PROXY_OPTIONS if choices.option(name) is not None]
        if useless:
            off = "--no-remote-proxy" if option is not None else f"{choices.origin('remote_proxy')}=false"
            raise ValueError(f"{useless[0]} is of no use with {off}: leave out one")
    return text == "true"


def _ports(choices: Choices, options: TunnelOptions) -> tuple[Port, ...]:
    ports = []
    for name, number in PORTS.items():
        uri = choices.text(f"{name}_uri", "")
        region = choices.text("region", "")
        if uri:
            try:
                origin = cloud_origin(uri, choices.words("cleartext_hosts"))
            except ValueError as error:
                raise ValueError(f"{choices.origin(f'{name}_uri')}: {error}") from None
        elif region:
            origin = origin_of_region(options.environment_id, region, number)
        else:
            raise ValueError(
                f"the {name} proxy needs a region or a URI: {SETTINGS['region'].remedy}; or "
                f"{SETTINGS[f'{name}_uri'].remedy}; or pass --no-remote-proxy, or set RESTATE_REMOTE_PROXY=false"
            )
        address = _address(choices, f"{name}_serve_address", f"127.0.0.1:{number}")
        ports.append(Port(name=name, address=address, origin=origin))
    return tuple(ports)


def _address(choices: Choices, name: str, default: str) -> ServeAddress:
    try:
        return serve_address(choices.text(name, default))
    except ValueError as error:
        raise ValueError(f"{choices.origin(name)}: {error}") from None


def _seconds(choices: Choices, name: str, default: float, *, least: float = 0.001) -> float:
    text = choices.text(name, str(default))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not least <= seconds < 1e6:
        raise ValueError(
            f"{choices.origin(name)} must be a number of seconds, not {shown(text)!r}: {SETTINGS[name].remedy}"
        )
    return seconds
