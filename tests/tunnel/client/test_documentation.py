"""The page on the tunnel client says what the code does."""

from __future__ import annotations

import importlib
import logging
import re
from pathlib import Path
from xml.etree import ElementTree

import click
import hypercorn.config
import pytest
import uvicorn

from restate_identity.cli.main import cli
from restate_identity.tunnel.client.allow_list import AllowList
from restate_identity.tunnel.client.configuration import CONNECT, HEALTH_ADDRESS, PORTS, configuration
from restate_identity.tunnel.client.connector import _WINDOWS as TARGET_TIMINGS
from restate_identity.tunnel.client.limits import Limits
from restate_identity.tunnel.client.metrics import REASONS
from restate_identity.tunnel.client.origins import address_of, origin
from restate_identity.tunnel.client.passage import _ATTEMPTS as ATTEMPTS
from restate_identity.tunnel.client.proxies.bearer import EVERY
from restate_identity.tunnel.client.proxies.cloud_request import NOT_PASSED
from restate_identity.tunnel.client.proxies.patience import PIECE, Patience
from restate_identity.tunnel.client.request_body import KEPT
from restate_identity.tunnel.client.settings import GRACE
from restate_identity.tunnel.client.variables import NAMES, SETTINGS
from restate_identity.tunnel.header_blocks import MAX_HEADER_LIST_SIZE
from restate_identity.tunnel.timings import TunnelTimings
from tests.support import ROOT
from tests.tunnel.tunnels import SIGNER

DOCS = ROOT / "docs"
PAGE = (DOCS / "tunnel-client.md").read_text("utf-8")


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_table_has_every_option_and_every_variable() -> None:
    rows = re.findall(
        r"^\| (?:`(--[a-z-]+)`|none, it is a secret) \| (.*?) \|", section("Settings"), flags=re.MULTILINE
    )
    listed = [(option or None, tuple(re.findall(r"`(RESTATE_\w+)`", variables))) for option, variables in rows]
    assert listed == [(s.option and s.option.partition("/")[0], s.names) for s in SETTINGS.values()]
    assert {name for _, names in listed for name in names} == NAMES


def test_every_option_of_the_command_is_a_setting_and_its_help_names_the_variable() -> None:
    params = [param for param in cli.commands["tunnel-client"].params if isinstance(param, click.Option)]
    assert {str(param.name) for param in params} == set(SETTINGS) - {"auth_token"}
    for param in params:
        setting = SETTINGS[str(param.name)]
        assert "/".join([*param.opts, *param.secondary_opts]) == setting.option
        assert setting.variable in str(param.help)


@pytest.mark.parametrize("number", [0, 1])
def test_the_documented_line_is_a_complete_configuration(number: int) -> None:
    tag, folder = re.findall(r"```shell\ndocker build --tag (\S+) (\S+)\n```", PAGE)[0]
    assert (ROOT / folder / "Dockerfile").is_file()
    line = re.findall(r"```shell\n(docker run.*?)```", PAGE, flags=re.DOTALL)[number]
    assert line.split()[-1] == tag
    environ = dict(re.findall(r"-e (\w+)=(\S+)", line))
    # The reader's own values.
    environ |= {"RESTATE_ENVIRONMENT_ID": "env_123", "RESTATE_SIGNING_PUBLIC_KEY": str(SIGNER.public_key)}
    found = configuration({}, environ)
    published = {port.rpartition(":")[2] for port in re.findall(r"-p (\S+)", line)}
    reachable = {str(port.address.port) for port in found.ports if not port.address.is_loopback}
    assert published == reachable | {str(found.health.port)}
    assert all("127.0.0.1:" in port for port in re.findall(r"-p (\S+:(?:8080|9070))", line))


def test_the_targets_of_the_table_allow_what_it_says() -> None:
    texts = re.findall(r"^\| `([^`]+)` \|", section("What is dialled"), flags=re.MULTILINE)
    assert len(texts) == 5
    yes = (
        "http greeter 9080",
        "https greeter.internal 443",
        "https greeter 9080",
        "http a.b.greeter.svc.cluster.local 9080",
    )
    for text, wanted in zip(texts[:4], yes, strict=True):
        assert AllowList.parse([text]).may_be_dialled(origin(*wanted.split()))
    no = ("https greeter 9080", "http greeter.internal 443", "http greeter 9081", "http greeter.svc.cluster.local 9080")
    for text, unwanted in zip(texts[:4], no, strict=True):
        assert not AllowList.parse([text]).may_be_dialled(origin(*unwanted.split()))
    address = address_of("10.1.2.3")
    assert address is not None
    assert AllowList.parse([texts[4]]).admits(origin("http", "greeter", "9080"), address)
    assert not AllowList.parse([texts[4]]).admits(origin("http", "greeter", "80"), address)
    assert "| `greeter`, `10.1.0.0/16` | the same without a port: every port |" in PAGE
    assert AllowList.parse(["greeter"]).may_be_dialled(origin("https", "greeter", "1234"))
    assert AllowList.parse(["10.1.0.0/16"]).admits(origin("http", "other", "1234"), address)


def test_the_numbers_are_those_of_the_code() -> None:
    patience = Patience()
    assert (patience.connections, patience.requests, MAX_HEADER_LIST_SIZE) == (1024, 4096, 64 * 1024)
    assert (patience.head, patience.stall, patience.idle, PIECE) == (15, 120, 300, 16 * 1024)
    for text in (
        "1,024 connections",
        "4,096 requests",
        "64 KiB of headers",
        "15 seconds",
        "16 KiB of a response, is given\n  up after 120 seconds",
        "after 300",
    ):
        assert text in section("Local ports")
    assert (CONNECT, GRACE, HEALTH_ADDRESS, PORTS) == (5, 300, "[::]:9090", {"ingress": 8080, "admin": 9070})
    for text in (
        "seconds; 5 by default",
        "seconds; 300 by default",
        "`[::]:9090` by default",
        "`127.0.0.1:9070` by default",
    ):
        assert text in section("Settings")
    assert EVERY == 5
    assert "every 5 seconds" in section("Operating it")
    assert {"CONNECT", "TRACE"} == NOT_PASSED


def test_the_numbers_of_the_connections_are_those_of_the_code() -> None:
    limits = Limits()
    assert (limits.connections, limits.streams, limits.connections_http1, limits.patience) == (16, 8, 1024, 1)
    assert (ATTEMPTS, KEPT, limits.connect) == (3, 64 * 1024, CONNECT)
    # A connection is left before such a server closes it.
    assert limits.requests == hypercorn.config.Config().keep_alive_max_requests
    assert limits.idle < min(hypercorn.config.Config().keep_alive_timeout, uvicorn.Config(cli).timeout_keep_alive)
    for text in (
        "up to 16 HTTP/2",
        "each has 8 requests",
        "longer than a second",
        "three times in all",
        "at most 64 KiB",
    ):
        assert text in section("What is dialled")


def test_what_a_service_that_blocks_or_does_not_read_costs_is_what_the_numbers_say() -> None:
    windows = TunnelTimings()
    assert (windows.connection_window, windows.stream_window) == (16 * 1024 * 1024, 1024 * 1024)
    pings = TARGET_TIMINGS
    assert (pings.ping_every, pings.ping_answer, pings.missed_pings) == (75, 10, 2)
    # At the least, it is blocked from the first PING until the second one is overdue.
    least = pings.ping_every * (pings.missed_pings - 1) + pings.ping_answer
    for text in (
        "every 75 seconds",
        "two PINGs in a row",
        "each for 10 seconds",
        f"{least:g} to {least + pings.ping_every:g} seconds",
        "once 16 MiB of them wait",
        "at most 1 MiB of each",
    ):
        assert text in section("What is dialled")


def test_the_metrics_are_those_of_the_table_and_so_are_the_reasons() -> None:
    table = section("Health and metrics")
    names = set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE))
    assert len(names) == 8
    # `test_command.py` asks a running client for each of them.
    samples = (Path(__file__).parent / "test_command.py").read_text()
    assert set(re.findall(r"restate_(?:cloud_tunnel|identity_tunnel_client)\w+", samples)) == names
    (row,) = re.findall(r"remote_proxy_refused_total` .*: (.*) \|", table)
    assert tuple(re.findall(r"`(\w+)`", row)) == REASONS


def test_the_loggers_are_those_that_it_names() -> None:
    folder = ROOT / "restate_identity" / "tunnel"
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in folder.rglob("[a-z]*.py")}
    modules = [importlib.import_module(name) for name in names]
    loggers = {getattr(module, "logger", logging.root).name for module in modules} - {"root"}
    assert loggers == {"restate_identity.tunnel", "restate_identity.tunnel.client"}
    assert "`restate_identity.tunnel` and `restate_identity.tunnel.client`" in section("Operating it")


def test_the_picture_is_one() -> None:
    assert "tunnel-forms.svg" in PAGE
    assert "tunnel-forms.svg" in (DOCS / "tunnel.md").read_text()
    assert ElementTree.parse(DOCS / "tunnel-forms.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
