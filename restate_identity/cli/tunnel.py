"""`tunnel`: serves an ASGI application, named MODULE:APP as for uvicorn, to Restate Cloud."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import click

from restate_identity.cli.application import find_application
from restate_identity.cli.complaints import fail
from restate_identity.cli.options import FILE, as_options


@click.command("tunnel", short_help="Serve an ASGI application to Restate Cloud.")
@click.option("--tunnel-name", metavar="NAME", help="The name of the deployment.  [RESTATE_INPROC_TUNNEL_NAME]")
@click.option("--environment-id", metavar="env_...", help="[RESTATE_INPROC_ENVIRONMENT_ID]")
@click.option("--region", help="The region of Restate Cloud, for instance eu.  [RESTATE_INPROC_CLOUD_REGION]")
@click.option(
    "--signing-public-key",
    metavar="publickeyv1_...",
    help="The key that must sign requests.  [RESTATE_INPROC_SIGNING_PUBLIC_KEY]",
)
@click.option(
    "--auth-token-file",
    type=FILE,
    metavar="FILE",
    help="The file with the API key, read at each dial.  [RESTATE_AUTH_TOKEN, RESTATE_INPROC_AUTH_TOKEN_FILE]",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="host:port|URL",
    help="A server to dial instead of the region's; may be repeated. http:// is cleartext.",
)
@click.option(
    "--servers-srv", metavar="NAME", help="An SRV record with the servers instead.  [RESTATE_TUNNEL_SERVERS_SRV]"
)
@click.option(
    "--worker-id",
    metavar="NAME",
    help="A name for this process in the server's diagnostics.  [RESTATE_TUNNEL_WORKER_ID, else made from HOSTNAME]",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="Seconds for requests in flight to finish after a signal.",
)
@click.option(
    "--health-port", type=click.IntRange(1, 65535), help="Answer GET /health on this port: 200 while the tunnel serves."
)
@click.argument("app", metavar="MODULE:APP")
def tunnel_command(app: str, servers: tuple[str, ...], grace: float, **options: Any) -> None:
    """Serve the ASGI application APP of MODULE to Restate Cloud over connections that this process opens.

    No public port is open, and every request is verified. An option that is not given comes from the environment
    variable in brackets. The API key is never an argument, because other processes could read it.

    The command runs until SIGTERM or SIGINT. Requests in flight then have up to --grace seconds to finish; a second
    signal ends them at once. Exit status 2: the configuration is incomplete, or the server refuses it for good.

    \b
    Examples:
      restate-identity tunnel app:app --health-port 9090
      restate-identity tunnel app:app --tunnel-name greeter --environment-id env_... --region eu \\
        --signing-public-key publickeyv1_... --auth-token-file /run/secrets/restate/token
    """
    try:
        from restate_identity.tunnel import TunnelError, TunnelTimings, serve_tunnel
    except ImportError as error:
        fail(str(error))
    _require(options, servers)
    application = find_application(app)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(serve_tunnel(application, servers=servers or None, timings=TunnelTimings(grace=grace), **options))
    except (TunnelError, ValueError, TypeError) as error:
        fail(as_options(str(error), tunnel_command))
    except OSError as error:
        fail(f"cannot listen on --health-port {options['health_port']}: {error.strerror}")


# The settings without a default: for each its option, and the variables that replace it.
_REQUIRED = {
    "tunnel_name": ("--tunnel-name", "RESTATE_INPROC_TUNNEL_NAME"),
    "environment_id": ("--environment-id", "RESTATE_INPROC_ENVIRONMENT_ID"),
    "region": ("--region", "RESTATE_INPROC_CLOUD_REGION", "RESTATE_TUNNEL_SERVERS_SRV"),
    "signing_public_key": ("--signing-public-key", "RESTATE_INPROC_SIGNING_PUBLIC_KEY"),
    "auth_token_file": ("--auth-token-file", "RESTATE_AUTH_TOKEN", "RESTATE_INPROC_AUTH_TOKEN_FILE"),
}


def _require(options: dict[str, Any], servers: tuple[str, ...]) -> None:
    """Fail if required settings are neither options nor variables, and name all of them."""
    given = {name for name, value in options.items() if value is not None}
    if servers or "servers_srv" in given:
        given.add("region")
    missing = [
        f"{option} (or {' or '.join(map(_shown_variable, variables))})"
        for name, (option, *variables) in _REQUIRED.items()
        if name not in given and not any(os.environ.get(variable, "").strip() for variable in variables)
    ]
    if missing:
        fail(f"the tunnel needs {', '.join(missing)}")


def _shown_variable(name: str) -> str:
    return f"{name}, which is empty" if name in os.environ else name
