"""The page on the tunnel says what the code does."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from xml.etree import ElementTree

from restate_identity.cli import cli
from restate_identity.tunnel import connect_tunnel, options, serve_tunnel
from restate_identity.tunnel.timings import Timings

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = (DOCS / "tunnel.md").read_text("utf-8")


def test_the_table_has_every_argument_every_option_and_every_variable() -> None:
    rows = re.findall(r"^\| `(\w+)`(?: of `serve_tunnel`)? \|", PAGE, flags=re.MULTILINE)
    assert set(rows) == set(inspect.signature(serve_tunnel).parameters) - {"app"}
    assert set(inspect.signature(connect_tunnel).parameters) - {"app"} <= set(rows)
    command = {option for parameter in cli.commands["tunnel"].params for option in parameter.opts if option[:2] == "--"}
    assert set(re.findall(r"\| `(--[a-z-]+)` \|", PAGE)) == command
    variables = {value for name, value in vars(options).items() if name.endswith("_VARIABLE")}
    assert set(re.findall(r"`(RESTATE_[A-Z_]+)`", PAGE)) == variables


def test_the_seconds_are_those_of_the_code() -> None:
    timings = Timings()
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


def test_the_snippet_uses_what_there_is() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    tree = compile(snippet, "tunnel.md", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "connect_tunnel"
    ]
    assert {keyword.arg for keyword in call.keywords} <= set(inspect.signature(connect_tunnel).parameters)


def test_the_picture_is_one() -> None:
    assert ElementTree.parse(DOCS / "tunnel.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
