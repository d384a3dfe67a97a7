"""``restate-identity doctor``, as a process in an environment like a service's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from restate_identity import ED25519_IMPLEMENTATION
from restate_identity.signing import RequestSigner
from tests.support.processes import free_port
from tests.support.restate_server import RestateServer

OTHER_KEY = str(RequestSigner.generate().public_key)


def doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("RESTATE_")}
    argv = [sys.executable, "-m", "restate_identity", "doctor", *arguments]
    return subprocess.run(argv, env={**env, **variables}, capture_output=True, text=True, timeout=60, check=False)


def test_keys_are_named_with_the_variable_that_they_come_from(restate_identity_keys: list[str]) -> None:
    key = restate_identity_keys[0]
    done = doctor(RESTATE_IDENTITY_KEYS=f"{key}, {OTHER_KEY}", RESTATE_SIGNING_PUBLIC_KEY="publickeyv1_other")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "Keys    from RESTATE_IDENTITY_KEYS",
        f"        {key}  sound",
        f"        {OTHER_KEY}  sound",
        f"        signatures are checked by {ED25519_IMPLEMENTATION}",
        "        also set, and not read: RESTATE_SIGNING_PUBLIC_KEY",
    ]


@pytest.mark.parametrize("name", ["RESTATE_IDENTITY_KEY", "RESTATE_IDENTITY_KEY_FILE"])
def test_a_variable_that_is_easily_taken_for_ours_is_said_not_to_be_read(
    restate_identity_keys: list[str], name: str
) -> None:
    done = doctor(RESTATE_IDENTITY_KEYS=restate_identity_keys[0], **{name: OTHER_KEY})
    assert done.returncode == 0
    assert OTHER_KEY not in done.stdout
    assert done.stdout.endswith(f"        also set, and not read: {name}\n")


def test_a_key_file_is_named_too(restate_identity_keys: list[str], tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\n{restate_identity_keys[0]}\n")
    done = doctor(RESTATE_IDENTITY_KEYS_FILE=str(file))
    assert done.returncode == 0
    assert f"Keys    from RESTATE_IDENTITY_KEYS_FILE, the file {file}\n" in done.stdout


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "RESTATE_IDENTITY_KEYS, RESTATE_IDENTITY_KEYS_FILE, RESTATE_SIGNING_PUBLIC_KEY"),
        ({"RESTATE_IDENTITY_KEY": OTHER_KEY}, "RESTATE_IDENTITY_KEY is set, but is read only by code that names it"),
        ({"RESTATE_IDENTITY_KEYS": " "}, "RESTATE_IDENTITY_KEYS is set, but empty"),
        ({"RESTATE_IDENTITY_KEYS": "nonsense"}, "RESTATE_IDENTITY_KEYS: identity key 1"),
        ({"RESTATE_IDENTITY_KEYS_FILE": "/no/such/file"}, "/no/such/file cannot be read: No such file"),
        ({"RESTATE_SIGNING_PUBLIC_KEY": "publickeyv1_11111111111111111111111111111111"}, "of small order"),
    ],
)
def test_what_would_keep_a_service_from_starting_is_a_problem(variables: dict[str, str], problem: str) -> None:
    done = doctor(**variables)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (1, "", 1)
    assert done.stdout.startswith("Keys    PROBLEM: ")
    assert problem in done.stdout


class Dated(BaseHTTPRequestHandler):
    offset: float | None
    header: tuple[str, str]

    def do_GET(self) -> None:
        self.send_response_only(200)
        if self.offset is not None:
            self.send_header(*self.header)
            self.send_header("date", formatdate(time.time() + self.offset, usegmt=True))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def clock(offset: float | None, header: tuple[str, str] = ("server", "clock")) -> Iterator[str]:
    """Serve a clock that is *offset* seconds ahead of ours, or that tells no time, with one more *header*."""
    members = {"offset": offset, "header": header}
    with HTTPServer(("127.0.0.1", 0), type("Clock", (Dated,), members)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("offset", "status", "told"),
    [
        (0.0, 0, "Clock   the same as the server's"),
        (30.0, 0, "seconds behind the server's; tokens allow for 60 seconds"),
        (-30.0, 0, "seconds ahead of the server's; tokens allow for 60 seconds"),
        (600.0, 1, "minutes behind the server's: every request is refused as not_yet_valid; synchronise them"),
        (-600.0, 1, "minutes ahead of the server's: every request is refused as expired; synchronise them"),
    ],
)
def test_clocks_are_compared(restate_identity_keys: list[str], offset: float, status: int, told: str) -> None:
    with clock(offset) as url:
        done = doctor("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert done.stdout.splitlines()[-1].endswith(told)
    assert done.returncode == status


def test_a_real_server_tells_its_time(restate_server: RestateServer, restate_identity_keys: list[str]) -> None:
    for url in (restate_server.admin_url, f"{restate_server.admin_url}/health", restate_server.ingress_url):
        done = doctor("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
        assert (done.returncode, done.stderr) == (0, "")
        assert "Clock   the same as the server's\n" in done.stdout


def test_a_wrong_key_is_not_forgotten_over_a_right_clock() -> None:
    with clock(0.0) as url:
        assert doctor("--url", url).returncode == 1


@pytest.mark.parametrize(("offset", "told"), [(595.0, "10 minutes behind"), (-595.0, "10 minutes ahead of")])
def test_a_difference_is_rounded_alike_in_both_directions(
    restate_identity_keys: list[str], offset: float, told: str
) -> None:
    with clock(offset) as url:
        done = doctor("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert f"PROBLEM: {told} the server's" in done.stdout


@pytest.mark.parametrize(
    ("name", "value"), [("x-restate-server", "restate-sdk-python/1.0"), ("www-authenticate", "RestateRequestIdentity")]
)
def test_the_clock_of_a_service_is_not_taken_for_that_of_the_restate_server(
    restate_identity_keys: list[str], name: str, value: str
) -> None:
    with clock(600.0, (name, value)) as url:
        done = doctor("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{url} is a service: pass a URL of the Restate server" in done.stderr


def test_machines_read_json(restate_identity_keys: list[str], tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{restate_identity_keys[0]}\n")
    with clock(-3600.0) as url:
        done = doctor("--json", "--url", url, RESTATE_IDENTITY_KEYS_FILE=str(file), RESTATE_IDENTITY_KEY=OTHER_KEY)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["keys"] == {
        "sound": True,
        "variable": "RESTATE_IDENTITY_KEYS_FILE",
        "file": str(file),
        "keys": restate_identity_keys,
        "not_read": ["RESTATE_IDENTITY_KEY"],
        "problem": None,
    }
    assert (told["clock"]["sound"], told["clock"]["refused_as"]) == (False, "expired")
    assert told["clock"]["seconds_ahead"] > 3000
    broken = doctor("--json")
    told = json.loads(broken.stdout)
    assert (broken.returncode, told["keys"]["sound"], told["clock"]) == (1, False, None)
    assert "no identity key is configured" in told["keys"]["problem"]


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:99999", "http://[", "http://admin:password@127.0.0.1:1"])
def test_a_url_that_is_none_is_refused_in_one_line(restate_identity_keys: list[str], url: str) -> None:
    done = doctor("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "password@" not in done.stderr
    assert "without user and password" in done.stderr


def test_a_server_that_tells_no_time_is_said_to(restate_identity_keys: list[str]) -> None:
    with clock(None) as url:
        done = doctor("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "does not tell its time" in done.stderr


def test_a_server_that_is_not_there_is_said_to_be(restate_identity_keys: list[str]) -> None:
    done = doctor("--url", f"http://127.0.0.1:{free_port()}", RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is it running?" in done.stderr


def test_its_help_has_an_example() -> None:
    assert "\n    restate-identity doctor\n" in doctor("--help").stdout
