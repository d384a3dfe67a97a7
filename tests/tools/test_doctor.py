"""``restate-identity doctor``, as a process in an environment like a service's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from restate_identity import ED25519_IMPLEMENTATION
from restate_identity._ed25519 import accelerator_file
from restate_identity.cli.doctor import doctor as command
from restate_identity.signing import RequestSigner
from tests.support.processes import free_port
from tests.support.restate_server import RestateServer
from tests.support.servers import in_a_thread

OTHER_KEY = str(RequestSigner.generate().public_key)


def doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("RESTATE_")}
    argv = [sys.executable, "-m", "restate_identity", "doctor", *arguments]
    return subprocess.run(argv, env={**env, **variables}, capture_output=True, text=True, timeout=60, check=False)


def in_this_process(*arguments: str, **variables: str) -> Result:
    """Run the command with these variables and no others of ours, at a time that a test may decide."""
    ours: dict[str, str | None] = {name: None for name in os.environ if name.startswith("RESTATE_")}
    return CliRunner().invoke(command, arguments, env={**ours, **variables}, standalone_mode=False)


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
        ({"RESTATE_SIGNING_PUBLIC_KEY": "publickeyv1_11111111111111111111111111111111"}, "it is a weak key"),
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
    encodings: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.encodings.append(self.headers["accept-encoding"])
        self.send_response_only(200)
        if self.offset is not None:
            self.send_header(*self.header)
            self.send_header("date", formatdate(time.time() + self.offset, usegmt=True))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def clock(offset: float | None, header: tuple[str, str] = ("server", "clock")) -> AbstractContextManager[str]:
    """Serve a clock that is *offset* seconds ahead of ours, or that tells no time, with one more *header*."""
    members = {"offset": offset, "header": header}
    return in_a_thread(HTTPServer(("127.0.0.1", 0), type("Clock", (Dated,), members)))


NOW = 1_000_000_000.5
SAME = "Clock   the same as the server's"
ALLOWED = "the server's; tokens allow for 60 seconds"
PROBLEM = "the server's: every request is refused as"


@pytest.mark.parametrize(
    ("offset", "status", "told"),
    [
        (0, 0, SAME),
        (1, 0, SAME),
        (-1, 0, SAME),
        (2, 0, f"Clock   2 seconds behind {ALLOWED}"),
        (-2, 0, f"Clock   2 seconds ahead of {ALLOWED}"),
        (59, 0, f"Clock   59 seconds behind {ALLOWED}"),
        (-59, 0, f"Clock   59 seconds ahead of {ALLOWED}"),
        (60, 1, f"Clock   PROBLEM: 60 seconds behind {PROBLEM} not_yet_valid; synchronise them"),
        (-60, 1, f"Clock   PROBLEM: 60 seconds ahead of {PROBLEM} expired; synchronise them"),
        (595, 1, f"Clock   PROBLEM: 10 minutes behind {PROBLEM} not_yet_valid; synchronise them"),
        (-595, 1, f"Clock   PROBLEM: 10 minutes ahead of {PROBLEM} expired; synchronise them"),
    ],
)
def test_clocks_are_compared(
    restate_identity_keys: list[str], monkeypatch: pytest.MonkeyPatch, offset: float, status: int, told: str
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    with clock(offset) as url:
        done = in_this_process("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert (done.output.splitlines()[-1], done.return_value) == (told, status)


PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def test_a_proxy_that_the_environment_names_is_asked_for_another_machine_only(
    restate_identity_keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with clock(0) as url:
        for proxy, asked in ((f"http://127.0.0.1:{free_port()}", url), (url, "http://a.invalid:9070")):
            for name in PROXIES:
                monkeypatch.setenv(name, proxy)
            done = in_this_process("--url", asked, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
            assert done.output.endswith(f"{SAME}\n")


def test_a_proxy_that_cannot_be_used_is_not_quoted(
    restate_identity_keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, "nonsense://user:secret@a.test")
    done = in_this_process("--url", "http://a.invalid:9070", RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert str(done.exception) == (
        "cannot reach http://a.invalid:9070: check the URL, and the environment variables for proxies and certificates"
    )


def test_the_answer_is_asked_for_as_it_is(restate_identity_keys: list[str]) -> None:
    Dated.encodings.clear()
    with clock(0) as url:
        in_this_process("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert Dated.encodings == ["identity"]


def test_a_real_server_tells_its_time(restate_server: RestateServer, restate_identity_keys: list[str]) -> None:
    for url in (restate_server.admin_url, f"{restate_server.admin_url}/health", restate_server.ingress_url):
        done = doctor("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
        assert (done.returncode, done.stderr) == (0, "")
        assert "Clock   the same as the server's\n" in done.stdout


def test_a_wrong_key_is_not_forgotten_over_a_right_clock() -> None:
    with clock(0.0) as url:
        assert doctor("--url", url).returncode == 1


@pytest.mark.parametrize(
    ("name", "value"), [("x-restate-server", "restate-sdk-python/1.0"), ("www-authenticate", "RestateRequestIdentity")]
)
def test_the_clock_of_a_service_is_not_taken_for_that_of_the_restate_server(
    restate_identity_keys: list[str], name: str, value: str
) -> None:
    with clock(600.0, (name, value)) as url:
        done = in_this_process("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert str(done.exception).startswith(f"{url} is a service: pass a URL of the Restate server")


def test_machines_read_json(restate_identity_keys: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{restate_identity_keys[0]}\n")
    keys = {
        "sound": True,
        "variable": "RESTATE_IDENTITY_KEYS_FILE",
        "file": str(file),
        "keys": restate_identity_keys,
        "not_read": ["RESTATE_SIGNING_PUBLIC_KEY", "RESTATE_IDENTITY_KEY"],
        "problem": None,
    }
    variables = dict.fromkeys(("RESTATE_SIGNING_PUBLIC_KEY", "RESTATE_IDENTITY_KEY"), OTHER_KEY)
    variables["RESTATE_IDENTITY_KEYS_FILE"] = f" {file}\n"
    for now, expected in (
        (NOW + 0.26, {"sound": True, "seconds_ahead": 0.3, "refused_as": None}),
        (NOW + 3600.26, {"sound": False, "seconds_ahead": 3600.3, "refused_as": "expired"}),
    ):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        with clock(NOW - now) as url:
            done = in_this_process("--json", "--url", url, **variables)
        assert json.loads(done.output) == {
            "keys": keys,
            "ed25519": ED25519_IMPLEMENTATION,
            "ed25519_file": accelerator_file,
            "clock": expected,
        }
        assert done.return_value == (0 if expected["sound"] else 1)


def test_machines_read_what_is_wrong_with_the_keys() -> None:
    done = in_this_process("--json", RESTATE_IDENTITY_KEY=OTHER_KEY)
    told = json.loads(done.output)
    problem = told["keys"].pop("problem")
    assert "RESTATE_IDENTITY_KEY is set, but is read only by code that names it" in problem
    assert told["keys"] == {
        "sound": False,
        "variable": None,
        "file": None,
        "keys": [],
        "not_read": ["RESTATE_IDENTITY_KEY"],
    }
    assert (told["clock"], done.return_value) == (None, 1)


def test_the_library_that_checks_signatures_is_named_with_its_file(
    restate_identity_keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, named in ((None, ""), ("/lib/accelerator.so", ", /lib/accelerator.so")):
        monkeypatch.setattr("restate_identity.cli.doctor.accelerator_file", file)
        done = in_this_process(RESTATE_SIGNING_PUBLIC_KEY=restate_identity_keys[0])
        assert done.output.splitlines() == [
            "Keys    from RESTATE_SIGNING_PUBLIC_KEY",
            f"        {restate_identity_keys[0]}  sound",
            f"        signatures are checked by {ED25519_IMPLEMENTATION}{named}",
        ]


def test_a_manifest_that_cannot_be_read_without_an_extra_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text("kind: RestateCloudEnvironment\n")
    monkeypatch.setitem(sys.modules, "yaml", None)
    done = in_this_process(RESTATE_IDENTITY_KEYS_FILE=str(file))
    assert done.output.startswith("Keys    PROBLEM: ")
    assert "pip install 'restate-identity[kubernetes]'" in done.output
    assert done.return_value == 1


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:99999", "http://[", "http://admin:password@127.0.0.1:1"])
def test_a_url_that_is_none_is_refused_in_one_line(restate_identity_keys: list[str], url: str) -> None:
    done = doctor("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "password@" not in done.stderr
    assert "without user and password" in done.stderr


def test_a_server_that_tells_no_time_is_said_to(restate_identity_keys: list[str]) -> None:
    with clock(None) as url:
        done = in_this_process("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert str(done.exception) == f"{url} does not tell its time: its response has no readable Date header"


def test_a_server_that_is_not_there_is_said_to_be(restate_identity_keys: list[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = in_this_process("--url", url, RESTATE_IDENTITY_KEYS=restate_identity_keys[0])
    assert re.fullmatch(rf"cannot reach {url}: \[Errno \d+\] Connection refused; is it running\?", str(done.exception))
