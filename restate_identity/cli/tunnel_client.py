"""`tunnel-client`: forwards what comes through a tunnel of Restate Cloud to services in any language."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

import click

from restate_identity.cli.complaints import fail
from restate_identity.cli.options import FILE, as_options


def _setting(option: str, variable: str, text: str, **attributes: Any) -> Callable[[Any], Any]:
    """Return an option whose value may come from *variable* instead."""
    return click.option(*option.split(), help=f"{text}  [{variable}]", **attributes)


@click.command("tunnel-client", short_help="Forward requests of Restate Cloud to any service.")
@_setting("--tunnel-name", "RESTATE_TUNNEL_NAME", "The name of the tunnel.", metavar="NAME")
@_setting("--environment-id", "RESTATE_ENVIRONMENT_ID", "The environment.", metavar="env_...")
@_setting(
    "--signing-public-key",
    "RESTATE_SIGNING_PUBLIC_KEY",
    "The key that must sign requests.",
    metavar="publickeyv1_...",
)
@_setting(
    "--auth-token-file",
    "RESTATE_AUTH_TOKEN, RESTATE_AUTH_TOKEN_FILE",
    "The file with the API key, read again when it is used.",
    type=FILE,
    metavar="FILE",
)
@_setting(
    "--target targets",
    "RESTATE_TUNNEL_TARGETS",
    "Where requests may go: http://greeter:9080, *.svc.cluster.local, 10.0.0.0/8:9080; may be repeated.",
    multiple=True,
    metavar="TARGET",
)
@_setting("--region", "RESTATE_CLOUD_REGION", "The region of Restate Cloud, for instance eu.", metavar="REGION")
@_setting(
    "--server servers",
    "RESTATE_TUNNEL_SERVERS",
    "A tunnel server to dial instead of the region's; may be repeated. http:// is cleartext. Without a region, pass "
    "--ingress-uri and --admin-uri, too, or --no-remote-proxy.",
    multiple=True,
    metavar="host:port|URL",
)
@_setting("--servers-srv", "RESTATE_TUNNEL_SERVERS_SRV", "An SRV record with the servers instead.", metavar="NAME")
@_setting(
    "--worker-id", "RESTATE_TUNNEL_WORKER_ID", "A name for this process in the server's diagnostics.", metavar="NAME"
)
@_setting(
    "--remote-proxy/--no-remote-proxy",
    "RESTATE_REMOTE_PROXY",
    "Whether to serve the cloud's ingress and admin API on local ports; on by default.",
    default=None,
)
@_setting("--ingress-uri", "RESTATE_INGRESS_URI", "The cloud's ingress, if it is not the region's.", metavar="URL")
@_setting("--admin-uri", "RESTATE_ADMIN_URI", "The cloud's admin API, if it is not the region's.", metavar="URL")
@_setting(
    "--ingress-serve-address",
    "RESTATE_INGRESS_SERVE_ADDRESS",
    "Where to serve the ingress; 127.0.0.1:8080 by default. Whoever reaches it has access with the API key.",
    metavar="host:port",
)
@_setting(
    "--admin-serve-address",
    "RESTATE_ADMIN_SERVE_ADDRESS",
    "Where to serve the admin API; 127.0.0.1:9070 by default. Whoever reaches it has access with the API key.",
    metavar="host:port",
)
@_setting(
    "--health-serve-address",
    "RESTATE_HEALTH_SERVE_ADDRESS",
    "Where to answer /health and /metrics; [::]:9090, on all addresses, by default.",
    metavar="host:port",
)
@_setting(
    "--proxy-host proxy_hosts",
    "RESTATE_PROXY_HOSTS",
    "A name under which the local ports may be called, besides localhost and addresses; may be repeated.",
    multiple=True,
    metavar="NAME",
)
@_setting(
    "--proxy-origin proxy_origins",
    "RESTATE_PROXY_ORIGINS",
    "An origin whose web pages may use the local ports; may be repeated.",
    multiple=True,
    metavar="URL",
)
@_setting(
    "--cleartext-host cleartext_hosts",
    "RESTATE_CLEARTEXT_HOSTS",
    "A host to which the API key may be sent over http://; may be repeated.",
    multiple=True,
    metavar="NAME",
)
@_setting(
    "--connect-timeout",
    "RESTATE_CONNECT_TIMEOUT",
    "The time limit for opening a connection; 5 by default.",
    type=float,
    metavar="SECONDS",
)
@_setting(
    "--shutdown-timeout",
    "RESTATE_SHUTDOWN_TIMEOUT",
    "How long requests in flight may take after a signal; 300 by default.",
    type=float,
    metavar="SECONDS",
)
def tunnel_client_command(**options: Any) -> None:
    """Forward what comes through a tunnel of Restate Cloud to the services of a private network, in any language.

    Every request is verified before anything is dialled, and only the targets that you name are. An option that is not
    given comes from the environment variable in brackets; lists are separated by commas. The API key is never an
    argument, because other processes could read it.

    The command runs until SIGTERM or SIGINT. Requests in flight then have up to --shutdown-timeout seconds to finish; a
    second signal ends them at once. Exit status 2: the configuration is wrong, or the server refuses it for good.

    \b
    Examples:
      restate-identity tunnel-client --target http://greeter:9080
      restate-identity tunnel-client --tunnel-name greeter --environment-id env_... --region eu --no-remote-proxy \\
        --signing-public-key publickeyv1_... --auth-token-file /run/secrets/restate/token --target 10.0.0.0/8:9080
    """
    try:
        from restate_identity.tunnel.client.configuration import configuration
        from restate_identity.tunnel.client.metrics import ClientMetrics
        from restate_identity.tunnel.client.serve import serve
        from restate_identity.tunnel.errors import TunnelError
    except ImportError as error:
        # The extra of the tunnel alone, which the error may name, would not be enough.
        fail(f"{error.name} is missing: pip install 'restate-identity[tunnel-client]'")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    metrics = ClientMetrics()
    try:
        asyncio.run(serve(configuration(options, os.environ, observer=metrics), metrics))
    except (TunnelError, ValueError, TypeError) as error:
        fail(as_options(str(error), tunnel_client_command))
    except OSError as error:
        fail(str(error.strerror or error))
