"""The settings of a tunnel, as users pass them; `restate_identity.tunnel.options` completes and checks them."""

from __future__ import annotations

import functools
import inspect
import os
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar, cast

from restate_identity.asgi import ASGIApp
from restate_identity.keys import PublicKey
from restate_identity.telemetry import Observer
from restate_identity.tunnel.timings import TunnelTimings

_P = ParamSpec("_P")
_S = TypeVar("_S")
_R = TypeVar("_R")


@dataclass(frozen=True, kw_only=True)
class TunnelSettings:
    """The keyword arguments of `connect_tunnel` and `serve_tunnel`.

    A setting that is left out comes from its environment variable.

    Raises:
        TypeError: *timings* is not a `TunnelTimings`.
        ValueError: *tls* does not verify the servers.
    """

    tunnel_name: str | None = None
    """The name of the deployment: letters, digits, ``.``, ``_`` and ``-``; else ``RESTATE_INPROC_TUNNEL_NAME``."""
    environment_id: str | None = None
    """``env_…``; else ``RESTATE_INPROC_ENVIRONMENT_ID``."""
    region: str | None = None
    """The region of Restate Cloud, such as ``eu``: DNS labels in lower case; else ``RESTATE_INPROC_CLOUD_REGION``. The
    servers are those of the SRV record ``tunnel.<region>.restate.cloud``. Not with *servers* or *servers_srv*."""
    signing_public_key: str | PublicKey | None = None
    """The environment's ``publickeyv1_…``, or several during a rotation, separated by commas or white space; else
    ``RESTATE_INPROC_SIGNING_PUBLIC_KEY``."""
    auth_token: str | None = field(default=None, repr=False)
    """The API key of the environment; else ``RESTATE_AUTH_TOKEN``."""
    auth_token_file: str | os.PathLike[str] | None = field(default=None, repr=False)
    """Alternatively a file with the API key, read again at each dial: a regular file of at most 64 KiB; else
    ``RESTATE_INPROC_AUTH_TOKEN_FILE``."""
    servers: Iterable[str] | None = None
    """The servers to dial: ``host:port``, ``https://…``, or ``http://…`` for cleartext."""
    servers_srv: str | None = None
    """The name of an SRV record with the servers; else ``RESTATE_TUNNEL_SERVERS_SRV``."""
    worker_id: str | None = None
    """A name for this process in the server's diagnostics; else ``RESTATE_TUNNEL_WORKER_ID``, else made from
    ``HOSTNAME``."""
    timings: TunnelTimings | None = None
    """Time limits, and limits on what may be in flight; else the protocol's defaults."""
    tls: ssl.SSLContext | bool = True
    """A context with the certificate authorities to trust instead of the system's. It must verify certificates and host
    names. Pass a context of its own: its ALPN protocols are set to ``h2``. False means cleartext, for a test with a
    *servers_srv* of your own."""
    observer: Observer | None = None
    """Receives the outcome of every verified request, see `restate_identity.telemetry`."""

    def __post_init__(self) -> None:
        if self.timings is not None and not isinstance(self.timings, TunnelTimings):
            raise TypeError("timings is a TunnelTimings(...), with the parentheses, or None for the defaults")
        tls = self.tls
        if isinstance(tls, ssl.SSLContext) and (tls.verify_mode is not ssl.CERT_REQUIRED or not tls.check_hostname):
            raise ValueError(
                "tls must verify: leave its verify_mode at ssl.CERT_REQUIRED and its check_hostname at True"
            )


@dataclass(frozen=True, kw_only=True)
class ServeSettings(TunnelSettings):
    """The keyword arguments of `serve_tunnel`: those of `connect_tunnel`, and *health_port*."""

    health_port: int | None = None
    """The port that answers ``GET /health``, on all addresses: 200 while a connection serves, else 503."""


def takes(
    settings: Callable[_P, _S],
) -> Callable[[Callable[[ASGIApp, _S], _R]], Callable[Concatenate[ASGIApp, _P], _R]]:
    """Return a decorator: the function then takes the fields of *settings* as keyword arguments after its *app*."""

    def decorate(function: Callable[[ASGIApp, _S], _R]) -> Callable[Concatenate[ASGIApp, _P], _R]:
        @functools.wraps(function)
        def call(app: ASGIApp, *arguments: _P.args, **options: _P.kwargs) -> _R:
            return function(app, settings(*arguments, **options))

        own = inspect.signature(function)
        parameters = [own.parameters["app"], *inspect.signature(settings).parameters.values()]
        call.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return cast("Callable[Concatenate[ASGIApp, _P], _R]", call)

    return decorate
