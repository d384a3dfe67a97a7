"""The help of each command says in what form each value is given."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from restate_identity.cli.main import cli

FORMS = {
    "keygen": ["--kubernetes NAME"],
    "public-key": ["[OPTIONS] private.pem"],
    "inspect": ["--identity-key publickeyv1_...", "TOKEN|-"],
    "verify": ["--identity-key publickeyv1_...", "--json", "TOKEN|-"],
    "sign": ["--key private.pem The private key, an unencrypted PKCS#8 PEM. [required]", "--curl URL"],
    "probe": ["--key private.pem", "--services A,B", "--timeout FLOAT", "[default: 10.0]", "--json", "[OPTIONS] URL"],
    "edge": [
        *("--behind [nginx|caddy|traefik|envoy|haproxy] The proxy that asks. [required]", "--prefix /restate"),
        *(
            "--listen host:port|unix:/path",
            "[default: 127.0.0.1:9001]",
            "--status-host address",
            "[default: 127.0.0.1]",
        ),
        "--health-port INTEGER RANGE Answer GET /health there: 200 while it serves. [1<=x<=65535]",
        "--metrics-port INTEGER RANGE Answer there with metrics for Prometheus. [1<=x<=65535]",
        "--identity-key publickeyv1_...",
    ],
    "export": ["jwks A JSON Web Key Set.", "envoy A configuration of Envoy that needs no edge."],
    "export jwks": ["--identity-key publickeyv1_..."],
    "export envoy": ["--prefix /restate", "--identity-key publickeyv1_..."],
    "encryption keygen": ["--id NAME"],
    "encryption decrypt": ["--local-keys FILE", "--kms-key ID"],
    "encryption serve": [
        *("--listen host:port|unix:/path [default: 127.0.0.1:9002]", "--token-file FILE"),
        "--allow-origin https://host",
    ],
    "tunnel": [
        *(
            "--tunnel-name NAME",
            "[RESTATE_INPROC_TUNNEL_NAME]",
            "--environment-id env_... [RESTATE_INPROC_ENVIRONMENT_ID]",
        ),
        *("--region TEXT", "[RESTATE_INPROC_CLOUD_REGION]", "--server host:port|URL", "--servers-srv NAME"),
        *("--signing-public-key publickeyv1_...", "--auth-token-file FILE", "--worker-id NAME"),
        *("--grace SECONDS", "[default: 120; x>=0]", "[OPTIONS] MODULE:APP"),
        "--health-port INTEGER RANGE Answer GET /health on this port: 200 while the tunnel serves. [1<=x<=65535]",
    ],
    "tunnel-client": [
        *("--tunnel-name NAME", "[RESTATE_TUNNEL_NAME]", "--environment-id env_...", "[RESTATE_ENVIRONMENT_ID]"),
        *("--signing-public-key publickeyv1_...", "[RESTATE_SIGNING_PUBLIC_KEY]"),
        *("--auth-token-file FILE", "[RESTATE_AUTH_TOKEN, RESTATE_AUTH_TOKEN_FILE]"),
        *("--target TARGET", "[RESTATE_TUNNEL_TARGETS]", "--region REGION", "[RESTATE_CLOUD_REGION]"),
        *("--server host:port|URL", "[RESTATE_TUNNEL_SERVERS]", "--servers-srv NAME", "[RESTATE_TUNNEL_SERVERS_SRV]"),
        *("--worker-id NAME", "[RESTATE_TUNNEL_WORKER_ID]", "--remote-proxy / --no-remote-proxy"),
        *("[RESTATE_REMOTE_PROXY]", "--ingress-uri URL", "[RESTATE_INGRESS_URI]", "--admin-uri URL"),
        *("[RESTATE_ADMIN_URI]", "--ingress-serve-address host:port", "[RESTATE_INGRESS_SERVE_ADDRESS]"),
        *("--admin-serve-address host:port", "[RESTATE_ADMIN_SERVE_ADDRESS]", "--health-serve-address host:port"),
        *("[RESTATE_HEALTH_SERVE_ADDRESS]", "--proxy-host NAME", "[RESTATE_PROXY_HOSTS]", "--proxy-origin URL"),
        *("[RESTATE_PROXY_ORIGINS]", "--cleartext-host NAME", "[RESTATE_CLEARTEXT_HOSTS]"),
        *("--connect-timeout SECONDS", "[RESTATE_CONNECT_TIMEOUT]", "--shutdown-timeout SECONDS"),
        "[RESTATE_SHUTDOWN_TIMEOUT]",
    ],
}


@pytest.mark.parametrize("command", FORMS)
def test_the_help_names_the_form_of_each_value(command: str) -> None:
    told = CliRunner().invoke(cli, [*command.split(), "--help"]).output
    # Without the examples, which show options, too.
    shown = " ".join((told.partition("\n\n")[0] + told.partition("Options:")[2] + "\n").split()) + " "
    assert [form for form in FORMS[command] if f" {form} " not in shown] == []


def options(group: click.Group) -> Iterator[tuple[str | None, click.Option]]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from options(command)
        yield from ((command.name, option) for option in command.params if isinstance(option, click.Option))


def test_the_help_says_which_options_may_be_repeated() -> None:
    for command, option in options(cli):
        is_said = any(said in (option.help or "") for said in ("may be repeated", "more may follow"))
        assert option.multiple is is_said, (command, option.name)
