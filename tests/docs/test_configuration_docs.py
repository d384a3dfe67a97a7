"""The tables of ``docs/reference/configuration.md`` list every option with its default."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable
from importlib.metadata import metadata
from typing import Any

import pytest

from restate_identity import IdentityVerifier
from restate_identity.asgi import RequestIdentityMiddleware as Asgi
from restate_identity.aws_lambda import require_request_identity
from restate_identity.cli.codec_server import TOKEN_VARIABLE
from restate_identity.django import SETTINGS
from restate_identity.encryption import JournalEncryption, LocalKeys
from restate_identity.fastapi import RequestIdentity
from restate_identity.keyring import VARIABLES, KeyFile
from restate_identity.wsgi import RequestIdentityMiddleware as Wsgi
from tests.support import ROOT

PAGE = (ROOT / "docs" / "reference" / "configuration.md").read_text("utf-8")
SPELLED = {time.time: "time.time", time.monotonic: "time.monotonic"}
# Parameters that are not options.
GIVEN = {"self", "keys", "app", "handler", "path", "provider"}


def table_of(heading: str) -> dict[str, str]:
    """Return the first two columns of the table under *heading*."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| `([^`]+)`", section, flags=re.MULTILINE))


def options_of(function: Callable[..., Any]) -> dict[str, str]:
    parameters = inspect.signature(function).parameters.values()
    return {one.name: SPELLED.get(one.default, repr(one.default)) for one in parameters if one.name not in GIVEN}


@pytest.mark.parametrize(
    ("heading", "function"),
    [
        ("Options of the verifier", IdentityVerifier.__init__),
        ("Options of every adapter", Asgi.__init__),
        ("Options of every adapter", Wsgi.__init__),
        ("Options of every adapter", require_request_identity),
        ("Options of every adapter", RequestIdentity.__init__),
        ("Options of a key file", KeyFile.__init__),
        ("Options of the encryption of the journal", JournalEncryption.create),
        ("Options of a file of local keys", LocalKeys.__init__),
    ],
)
def test_the_table_has_all_options_with_their_defaults(heading: str, function: Callable[..., Any]) -> None:
    assert table_of(heading) == options_of(function)


def test_every_extra_is_listed() -> None:
    section = PAGE.split("## Extras\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `([\w-]+)` \|", section, flags=re.MULTILINE)
    assert listed == sorted(metadata("restate-identity").get_all("Provides-Extra") or ())


def test_every_setting_of_django_is_listed_with_its_option() -> None:
    assert table_of("Django settings") == SETTINGS


def test_every_environment_variable_is_named() -> None:
    section = PAGE.split("## Environment variables\n")[1].split("\n## ")[0]
    assert tuple(re.findall(r"`(RESTATE_\w+)`", section)) == (*VARIABLES, TOKEN_VARIABLE)
