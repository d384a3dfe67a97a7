"""`edge`: answers a reverse proxy that asks whether to let a request through."""

from __future__ import annotations

import logging

import click

from restate_identity._redaction import shown
from restate_identity.cli.complaints import fail, warn
from restate_identity.cli.options import identity_key_option, prefix_option
from restate_identity.edge import EdgeApplication
from restate_identity.edge.dialects import DIALECTS
from restate_identity.keys import PublicKey
from restate_identity.telemetry import Observer, PrometheusObserver

LOOPBACK = "127.0.0.1"


@click.command("edge", short_help="Verify requests for a reverse proxy, in front of any service.")
@click.option("--behind", required=True, type=click.Choice(list(DIALECTS)), help="The proxy that asks.")
@prefix_option
@click.option(
    "--listen",
    default="127.0.0.1:9001",
    show_default=True,
    metavar="host:port|unix:/path",
    help="Where the proxy asks. Nobody else may reach it.",
)
@click.option("--health-port", type=click.IntRange(1, 65535), help="Answer GET /health there: 200 while it serves.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Answer there with metrics for Prometheus.")
@click.option(
    "--status-host",
    default=LOOPBACK,
    show_default=True,
    metavar="address",
    help="The address of both ports; 0.0.0.0 for probes and a Prometheus from elsewhere.",
)
@identity_key_option
def edge_command(
    behind: str,
    prefix: str,
    listen: str,
    health_port: int | None,
    metrics_port: int | None,
    status_host: str,
    identity_keys: tuple[PublicKey, ...],
) -> None:
    """Verify requests for a reverse proxy, in front of a service in any language.

    The proxy asks about each request before it passes it on, and needs to be configured for that: the documentation has
    a configuration to copy for each. Without --identity-key, the keys come from the environment, as in every guard:
    RESTATE_IDENTITY_KEYS, or RESTATE_IDENTITY_KEYS_FILE, which is read again when it changes.

    The command runs until SIGTERM or SIGINT; then it finishes the answers in flight.

    \b
    Examples:
      restate-identity edge --behind nginx --identity-key publickeyv1_...
      restate-identity edge --behind caddy --prefix /restate --listen unix:/run/restate-identity/edge.sock
    """
    try:
        from restate_identity.edge.listening import is_reachable_from_outside, listener, serve_edge
    except ImportError as error:
        fail(str(error))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    observer = None if metrics_port is None else _observer()
    try:
        application = EdgeApplication(
            behind=behind, prefix=prefix, identity_keys=identity_keys or None, observer=observer
        )
    except (ImportError, ValueError) as error:
        fail(str(error).replace("pass identity_keys=['publickeyv1_...'] or verifier=...", "pass --identity-key"))
    try:
        if is_reachable_from_outside(listen):
            warn(
                f"--listen {shown(listen)} can be reached from other machines, and whoever reaches it can try tokens "
                "there: let only the proxy connect"
            )
        with listener(listen) as listening:
            serve_edge(
                application,
                listening,
                behind=behind,
                health_port=health_port,
                metrics_port=metrics_port,
                status_host=status_host,
            )
    except ValueError as error:
        fail(f"--listen {shown(listen)}: {error}")
    except OSError as error:
        ports = {"--health-port": health_port, "--metrics-port": metrics_port}
        others = "".join(
            f", or on {name} {port} of {shown(status_host)}" for name, port in ports.items() if port is not None
        )
        fail(f"cannot listen on {shown(listen)}{others}: {error.strerror or error}")


def _observer() -> Observer:
    try:
        return PrometheusObserver()
    except ImportError as error:
        fail(str(error))
