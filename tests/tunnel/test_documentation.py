"""The page on the tunnel says what the code does."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
import restate

from restate_identity.cli.main import cli
from restate_identity.restate_sdk import app as restate_app
from restate_identity.tunnel import connect_tunnel, options, serve_tunnel
from restate_identity.tunnel.timings import TunnelTimings
from tests.support import ROOT
from tests.support.invocation import CONTENT_TYPE, invocation_body
from tests.tunnel.cloud import PREFIX, Cloud
from tests.tunnel.dialling import TOKEN, echo
from tests.tunnel.tunnels import SIGNER, call, opened

DOCS = ROOT / "docs"
PAGE = (DOCS / "tunnel.md").read_text("utf-8")


def test_the_table_has_every_argument_every_option_and_every_variable() -> None:
    rows = re.findall(r"^\| `(\w+)`(?: of `serve_tunnel`)? \| (?!`[\d.]+`)", PAGE, flags=re.MULTILINE)
    assert set(rows) == set(inspect.signature(serve_tunnel).parameters) - {"app"}
    assert set(inspect.signature(connect_tunnel).parameters) - {"app"} <= set(rows)
    command = {option for parameter in cli.commands["tunnel"].params for option in parameter.opts if option[:2] == "--"}
    assert set(re.findall(r"\| `(--[a-z-]+)` \|", PAGE)) == command
    variables = {value for name, value in vars(options).items() if name.endswith("_VARIABLE")}
    assert set(re.findall(r"`(RESTATE_[A-Z_]+)`", PAGE)) == variables


def test_the_timings_and_their_defaults_are_those_of_the_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `([\d.]+)` \|", PAGE, flags=re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == asdict(TunnelTimings())
    (grace,) = (option for option in cli.commands["tunnel"].params if option.name == "grace")
    assert grace.default == TunnelTimings().grace


def test_the_seconds_are_those_of_the_code() -> None:
    timings = TunnelTimings()
    assert (timings.connect, timings.handshake, timings.steady) == (5, 5, 5)
    assert (timings.start_limit, timings.resolve_every, timings.ping_every) == (60, 30, 75)
    assert (timings.grace, timings.backoff_limit, timings.backoff_first) == (120, 120, 0.01)
    for text in (
        "more than 60 seconds",
        "every 30 seconds",
        "PING every 75 seconds",
        "up to 120 seconds",
        "after 10 ms",
    ):
        assert text in PAGE


async def test_the_snippet_connects_and_prints_what_to_register(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The first lasts until SIGTERM: `tests/servers/integrations/test_tunnel.py` runs such a program.
    _, snippet = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    file = tmp_path / "token"
    file.write_text(TOKEN)

    async with Cloud() as cloud:
        # The reader's own values, and in place of the region's servers one that is here.
        source = snippet.replace("publickeyv1_...", str(SIGNER.public_key))
        source = source.replace("/run/secrets/restate/token", str(file))
        source = source.replace('region="eu"', f'servers=["{cloud.target}"]')
        code = compile(source, "tunnel.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = asyncio.ensure_future(eval(code, {"app": echo}))
        line = await (await cloud.line(0)).accepted()
        assert (await call(line)).status == 200
        printed = ""
        while "/http/in-process/9080/" not in printed:
            assert not running.done()
            await asyncio.sleep(0.01)
            printed += capsys.readouterr().out
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_the_application_of_this_library_runs_no_object_but_the_signed_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESTATE_INPROC_SIGNING_PUBLIC_KEY", str(SIGNER.public_key))
    counter = restate.VirtualObject("Counter")

    @counter.handler()
    async def add(ctx: restate.ObjectContext, amount: int) -> str:
        return f"{amount} for {ctx.key()}"

    path = "/invoke/Counter/add"
    headers = {"content-type": CONTENT_TYPE, **SIGNER.headers(path, subject="alice")}
    async with Cloud() as cloud, opened(cloud, app=restate_app([counter])):
        line = await (await cloud.line(0)).accepted()
        answers = [
            await line.request(f"{PREFIX}{path}", headers, body=invocation_body(key, 1)) for key in ("alice", "bob")
        ]
    assert [answer.status for answer in answers] == [200, 401]
    assert b"1 for alice" in answers[0].body


def test_the_picture_is_one() -> None:
    assert ElementTree.parse(DOCS / "tunnel.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
