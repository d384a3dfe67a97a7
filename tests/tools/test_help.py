"""The help of each command says in what form each value is given."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from restate_identity.cli.main import cli

FORMS = {
    "keygen": ["--kubernetes NAME"],
    "public-key": ["[OPTIONS] private.pem"],
    "inspect": ["--identity-key publickeyv1_...", "TOKEN|-"],
    "verify": ["--identity-key publickeyv1_...", "TOKEN|-"],
    "sign": ["--key private.pem", "--curl URL"],
    "probe": ["--key private.pem", "--services A,B", "[default: 10.0]", "URL"],
    "edge": ["--prefix /restate", "--listen host:port|unix:/path", "--status-host address", "[default:"],
    "export": ["--prefix /restate", "--identity-key publickeyv1_..."],
    "encryption keygen": ["--id NAME"],
    "encryption decrypt": ["--local-keys FILE", "--kms-key ID"],
    "encryption serve": [
        *("--listen host:port|unix:/path [default: 127.0.0.1:9002]", "--token-file FILE"),
        "--allow-origin https://host",
    ],
    "tunnel": [
        *("--tunnel-name NAME", "--environment-id env_...", "--signing-public-key publickeyv1_..."),
        *("--auth-token-file FILE", "--server host:port|URL", "--servers-srv NAME", "--worker-id NAME"),
        *("--grace SECONDS", "[default:", "MODULE:APP"),
    ],
    "tunnel-client": [
        *("--tunnel-name NAME", "--environment-id env_...", "--signing-public-key publickeyv1_..."),
        *("--auth-token-file FILE", "TARGET", "--region REGION", "--server host:port|URL"),
        *("--servers-srv NAME", "--worker-id NAME", "--ingress-uri URL", "--admin-uri URL", "host:port"),
    ],
}


@pytest.mark.parametrize("command", FORMS)
def test_the_help_names_the_form_of_each_value(command: str) -> None:
    shown = f"{' '.join(CliRunner().invoke(cli, [*command.split(), '--help']).output.split())} "
    assert [form for form in FORMS[command] if f" {form} " not in shown] == []
