"""`tunnel`: serves an ASGI application, named as for uvicorn, to Restate Cloud."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from typing import Any

import click

from restate_identity.cli.application import find_application
from restate_identity.cli.complaints import fail
from restate_identity.cli.options import FILE


@click.command("tunnel", short_help="Serve an ASGI application to Restate Cloud.")
@click.option("--tunnel-name", metavar="NAME", help="The name of the deployment.  [RESTATE_INPROC_TUNNEL_NAME]")
@click.option("--environment-id", metavar="env_...", help="[RESTATE_INPROC_ENVIRONMENT_ID]")
@click.option("--region", help="Of Restate Cloud, for instance eu.  [RESTATE_INPROC_CLOUD_REGION]")
@click.option(
    "--signing-public-key",
    metavar="publickeyv1_...",
    help="What requests must be signed with.  [RESTATE_INPROC_SIGNING_PUBLIC_KEY]",
)
@click.option(
    "--auth-token-file",
    type=FILE,
    metavar="FILE",
    help="Holds the API key; read again at each dial.  [RESTATE_AUTH_TOKEN, RESTATE_INPROC_AUTH_TOKEN_FILE]",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="host:port|URL",
    help="Dial this one, not those of the region; repeat it for several. http:// is cleartext.",
)
@click.option("--servers-srv", metavar="NAME", help="Or those of this SRV record.  [RESTATE_TUNNEL_SERVERS_SRV]")
@click.option(
    "--worker-id",
    metavar="NAME",
    help="Of this process, for the server's diagnostics.  [RESTATE_TUNNEL_WORKER_ID, else made from HOSTNAME]",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="For what is in flight to finish, after a signal.",
)
@click.option("--health-port", type=click.IntRange(1, 65535), help="Answer GET /health there: 200 while it serves.")
@click.argument("app", metavar="MODULE:APP")
def tunnel_command(app: str, servers: tuple[str, ...], grace: float, **options: Any) -> None:
    """Serve the ASGI application APP of MODULE to Restate Cloud over connections that are dialled from here.

    No port is open to the world, and every request is verified. What is not given comes from the environment variable
    in brackets. The API key is never an argument, which other processes could read.

    It runs until SIGTERM or SIGINT; what is in flight then finishes, for up to --grace seconds. A second signal ends it
    at once. Exit status 2: the configuration is incomplete, or the server refuses it for good.

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
        fail(_as_options(str(error)))
    except OSError as error:
        fail(f"cannot listen on --health-port {options['health_port']}: {error.strerror}")


# What has no default: the option, and the variables that stand for it.
_REQUIRED = {
    "tunnel_name": ("--tunnel-name", "RESTATE_INPROC_TUNNEL_NAME"),
    "environment_id": ("--environment-id", "RESTATE_INPROC_ENVIRONMENT_ID"),
    "region": ("--region", "RESTATE_INPROC_CLOUD_REGION", "RESTATE_TUNNEL_SERVERS_SRV"),
    "signing_public_key": ("--signing-public-key", "RESTATE_INPROC_SIGNING_PUBLIC_KEY"),
    "auth_token_file": ("--auth-token-file", "RESTATE_AUTH_TOKEN", "RESTATE_INPROC_AUTH_TOKEN_FILE"),
}


def _require(options: dict[str, Any], servers: tuple[str, ...]) -> None:
    """Fail if something is neither an option nor a variable, and name all of it."""
    given = {name for name, value in options.items() if value is not None}
    if servers or "servers_srv" in given:
        given.add("region")
    missing = [
        f"{option} (or {' or '.join(variables)})"
        for name, (option, *variables) in _REQUIRED.items()
        if name not in given and not any(variable in os.environ for variable in variables)
    ]
    if missing:
        fail(f"the tunnel needs {', '.join(missing)}")


def _as_options(message: str) -> str:
    """Return a *message* about arguments with the options in their place, `tunnel_name=...` as `--tunnel-name`."""
    names = {str(param.name): param.opts[0] for param in tunnel_command.params if isinstance(param, click.Option)}
    # Some arguments are ordinary words as well: then only their place tells.
    spoken = re.compile(rf"(?:(?<=^)|(?<=pass )|(?<= or )|(?<=\())({'|'.join(names)})\b(?:=\.\.\.)?")
    return spoken.sub(lambda found: names[found[1]], message)
