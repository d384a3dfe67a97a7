"""``restate-identity tunnel`` as a process of its own: its options, its health, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.command import run_as_text
from tests.support.processes import free_port, ran
from tests.tunnel.cloud import PREFIX, Cloud
from tests.tunnel.command import Process, environment, started
from tests.tunnel.dialling import TOKEN
from tests.tunnel.tunnels import PATH, SIGNER

NAMES = {"--tunnel-name": "greeter", "--environment-id": "env_123", "--signing-public-key": str(SIGNER.public_key)}


def complete(*leave_out: str) -> list[str]:
    return [word for option, value in NAMES.items() if option not in leave_out for word in (option, value)]


def command(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_as_text("tunnel", *arguments, cwd=cwd, env=environment(**variables))


@asynccontextmanager
async def tunnel(cloud: Cloud, folder: Path, *options: str, **variables: str) -> AsyncIterator[Process]:
    token = folder / "token"
    token.write_text(f"{TOKEN}\n")
    log, released, port = folder / "log", folder / "released", free_port()
    arguments = ["--server", str(cloud.target), "--auth-token-file", str(token), "--health-port", str(port)]
    command = (sys.executable, "-m", "restate_identity", "tunnel", *complete(), *arguments, *options)
    env = environment(RELEASED=str(released), **variables)
    async with started(*command, "tests.tunnel.served_app:app", log=log, env=env) as process:
        yield Process(process, log, f"http://127.0.0.1:{port}/health", released)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("takes_sigterm", [False, True])
async def test_a_signal_waits_for_what_is_in_flight(tmp_path: Path, stop: signal.Signals, takes_sigterm: bool) -> None:
    variables = {"TAKE_SIGTERM": "1"} if takes_sigterm else {}
    async with Cloud(None) as cloud, tunnel(cloud, tmp_path, **variables) as here:
        while not cloud.lines:
            assert here.process.returncode is None, here.printed()
            await asyncio.sleep(0.02)
        line = await cloud.line(0)
        handshake = await line.opened_handshake()
        assert await here.health() == 503  # not accepted yet
        handshake.trailers(line.outcome())
        await here.until_healthy(200)
        exchange = line.open(f"{PREFIX}{PATH}", SIGNER.headers(PATH), end=True)
        await here.until_printed("in flight")
        here.process.send_signal(stop)
        await line.until(lambda: bool(line.goaways))
        assert await here.health() == 503  # it drains
        refused = await line.request(f"{PREFIX}{PATH}", SIGNER.headers(PATH))
        assert (refused.status, refused.headers["x-restate-tunnel-draining"]) == (503, "true")
        assert here.process.returncode is None
        here.released.touch()
        assert (await exchange.whole()).body == b"finished"
        assert await here.process.wait() == 0
        assert "shut down" in here.printed()
        assert ("the application saw SIGTERM" in here.printed()) == (takes_sigterm and stop == signal.SIGTERM)
        assert "the deployment to register is https://tunnel.test:9080/" in here.printed()
        assert TOKEN not in here.printed()
        assert here.printed().count("in flight\n") == 1


async def test_the_grace_and_the_name_of_the_worker_are_options(tmp_path: Path) -> None:
    async with Cloud() as cloud, tunnel(cloud, tmp_path, "--grace", "0.2", "--worker-id", "worker-7") as here:
        await here.until_healthy(200)
        line = await cloud.line(0)
        assert line.hello["tunnel-worker-id"] == "worker-7"
        line.open(f"{PREFIX}{PATH}", SIGNER.headers(PATH), end=True)
        await here.until_printed("in flight")
        here.process.terminate()
        assert await here.process.wait() == 0
        assert "the grace period of 0.2 s is over, with 1 requests in flight" in here.printed()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--servers-srv", "a b"), "--servers-srv must be the name of an SRV record"),
        (("--region", "eu.restate.cloud"), "the host name eu.restate.cloud (--region, RESTATE_INPROC_CLOUD_REGION)"),
        (("--servers-srv", "tunnel.test", "--server", "http://127.0.0.1:1"), "pass --server or --servers-srv"),
        (("--region", "eu", "--server", "http://127.0.0.1:1"), "pass --region or --server"),
        (("--server", "http://127.0.0.1:1", "--grace", "inf"), "--grace must be a finite number of seconds"),
        (("--server", "http://127.0.0.1:1", "--grace", "0", "--region", "eu"), "pass --region or --server"),
        (("--server", "http://127.0.0.1:1", "--grace", "-0.5"), "-0.5 is not in the range x>=0"),
        (("--server", "http://127.0.0.1:1", "--health-port", "1", "--region", "eu"), "pass --region or --server"),
        (("--server", "http://127.0.0.1:1", "--health-port", "65535", "--region", "eu"), "pass --region or --server"),
    ],
)
def test_what_contradicts_itself_is_said(arguments: tuple[str, ...], complaint: str) -> None:
    done = command(*complete(), *arguments, "tests.tunnel.served_app:app", RESTATE_AUTH_TOKEN=TOKEN)
    assert (done.returncode, complaint in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr


async def test_a_refusal_for_good_is_an_exit_status(tmp_path: Path) -> None:
    async def refuse(line: object) -> None:
        await line.handshake("unauthorized")  # type: ignore[attr-defined]

    async with Cloud(refuse) as cloud, tunnel(cloud, tmp_path) as here:
        assert await here.process.wait() == 2
        assert "does not accept the auth token (unauthorized)" in here.printed()
        assert TOKEN not in here.printed()


@pytest.mark.parametrize(
    ("app", "complaint"),
    [
        ("app", "the application must be MODULE:APP"),
        ("no_such_module:app", "there is no module 'no_such_module'"),
        ("tests.tunnel.served_app:nothing", "has no ASGI application 'nothing'"),
    ],
)
def test_an_application_that_is_not_there_is_said(app: str, complaint: str) -> None:
    done = command(*complete(), "--server", "http://127.0.0.1:1", app, RESTATE_AUTH_TOKEN=TOKEN)
    assert (done.returncode, complaint in done.stderr, "Traceback" in done.stderr) == (2, True, False)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module' (bad.py, line 1)"),
        ("x = 1\n1 / 0", "ZeroDivisionError: division by zero (bad.py, line 2)"),
        ("import worse", "ZeroDivisionError: division by zero (worse.py, line 2)"),
        ("x = (", "SyntaxError: '(' was never closed (bad.py, line 1)"),
        ("raise SystemExit", "SystemExit (bad.py, line 1)"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines (bad.py, line 1)"),
        (
            f"raise ValueError('key_{'1KaWp2nSSvSu' * 2}')",
            "ValueError: (28 characters that may be a secret) (bad.py, l",
        ),
    ],
)
def test_an_application_that_cannot_be_imported_is_said_in_one_line(
    tmp_path: Path, source: str, complaint: str
) -> None:
    (tmp_path / "bad.py").write_text(source)
    (tmp_path / "worse.py").write_text("x = 1\n1 / 0")
    done = command(*complete(), "--server", "http://127.0.0.1:1", "bad:app", cwd=tmp_path, RESTATE_AUTH_TOKEN=TOKEN)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"cannot import bad: {complaint}" in done.stderr.replace(f"{tmp_path}{os.sep}", "")


def test_an_application_that_python_cannot_even_read_is_said_without_a_line(tmp_path: Path) -> None:
    (tmp_path / "compiled.pyc").write_bytes(b"no bytecode at all")
    arguments = [*complete(), "--server", "http://127.0.0.1:1", "compiled:app"]
    done = command(*arguments, cwd=tmp_path, RESTATE_AUTH_TOKEN=TOKEN)
    assert done.stderr.endswith("cannot import compiled: ImportError: bad magic number in 'compiled': b'no b'\n")


def test_the_installed_command_finds_an_application_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text("app = 'no application'\n")
    # The working directory comes before the modules of Python.
    (tmp_path / "this.py").write_text("raise ValueError('ours')\n")
    script = Path(sys.executable).with_name("restate-identity")
    arguments = ["tunnel", *complete(), "--server", "http://127.0.0.1:1"]
    for app, complaint in (
        ("served:app", "served has no ASGI application 'app'"),
        ("this:app", "cannot import this: ValueError: ours"),
        ("missing:app", "there is no module"),
    ):
        done = ran(script, *arguments, app, cwd=tmp_path, env=environment(RESTATE_AUTH_TOKEN=TOKEN))
        assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr


def test_everything_that_is_missing_is_said_at_once() -> None:
    done = command("tests.tunnel.served_app:app")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    for missing in (
        "--tunnel-name (or RESTATE_INPROC_TUNNEL_NAME)",
        "--environment-id (or RESTATE_INPROC_ENVIRONMENT_ID)",
        "--region (or RESTATE_INPROC_CLOUD_REGION or RESTATE_TUNNEL_SERVERS_SRV)",
        "--signing-public-key (or RESTATE_INPROC_SIGNING_PUBLIC_KEY)",
        "--auth-token-file (or RESTATE_AUTH_TOKEN or RESTATE_INPROC_AUTH_TOKEN_FILE)",
    ):
        assert missing in done.stderr


def test_what_is_empty_is_missing_too() -> None:
    app = "tests.tunnel.served_app:app"
    done = command(app, RESTATE_INPROC_TUNNEL_NAME=" ", RESTATE_INPROC_AUTH_TOKEN_FILE="")
    assert done.returncode == 2
    for missing in (
        "--tunnel-name (or RESTATE_INPROC_TUNNEL_NAME, which is empty), ",
        "--environment-id (or RESTATE_INPROC_ENVIRONMENT_ID), ",
        "--auth-token-file (or RESTATE_AUTH_TOKEN or RESTATE_INPROC_AUTH_TOKEN_FILE, which is empty)\n",
    ):
        assert missing in done.stderr


def test_what_a_variable_says_is_not_missing() -> None:
    variables = {
        "RESTATE_INPROC_TUNNEL_NAME": "a b",
        "RESTATE_INPROC_ENVIRONMENT_ID": "env_123",
        "RESTATE_INPROC_SIGNING_PUBLIC_KEY": str(SIGNER.public_key),
        "RESTATE_INPROC_AUTH_TOKEN_FILE": "token",
    }
    for servers in ("RESTATE_INPROC_CLOUD_REGION", "RESTATE_TUNNEL_SERVERS_SRV"):
        done = command("tests.tunnel.served_app:app", cwd=None, **variables, **{servers: "eu"})
        assert "RESTATE_INPROC_TUNNEL_NAME must be " in done.stderr


def test_a_health_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = ["--server", "http://127.0.0.1:1", "--health-port", port, "tests.tunnel.served_app:app"]
        done = command(*complete(), *arguments, RESTATE_AUTH_TOKEN=TOKEN)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert f"cannot listen on --health-port {port}: " in done.stderr
    assert "ddress already in use" in done.stderr


def test_errors_name_the_options_of_the_command_and_not_the_arguments_of_python() -> None:
    arguments = ["--tunnel-name", "a b", "--server", "http://127.0.0.1:1", "tests.tunnel.served_app:app"]
    done = command(*complete("--tunnel-name"), *arguments, RESTATE_AUTH_TOKEN=TOKEN)
    assert done.stderr.endswith(": --tunnel-name must be letters, digits, '.', '_' and '-', not 'a b'\n")
    arguments[1] = ""
    done = command(*complete("--tunnel-name"), *arguments, RESTATE_AUTH_TOKEN=TOKEN)
    assert "--tunnel-name is set, but empty: pass --tunnel-name, or set RESTATE_INPROC_TUNNEL_NAME\n" in done.stderr


def test_a_token_file_that_is_not_there_ends_the_command(tmp_path: Path) -> None:
    arguments = [*complete(), "--server", "http://127.0.0.1:1", "--auth-token-file", str(tmp_path / "missing")]
    done = command(*arguments, "tests.tunnel.served_app:app")
    assert done.returncode == 2
    said = f"the file '{tmp_path / 'missing'}' cannot be read: No such file"
    assert f"--auth-token-file, or RESTATE_INPROC_AUTH_TOKEN_FILE: {said}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_token_is_not_an_argument() -> None:
    done = command(*complete(), "--auth-token", TOKEN, "tests.tunnel.served_app:app")
    assert (done.returncode, "No such option" in done.stderr) == (2, True)


def test_a_missing_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['dns'] = None; from restate_identity.__main__ import main; "
        "sys.argv = ['restate-identity', 'tunnel', 'tests.tunnel.served_app:app']; sys.exit(main())"
    )
    done = ran(sys.executable, "-c", code, cwd=ROOT, env=environment())
    assert done.returncode == 2
    assert "pip install 'restate-identity[tunnel]'" in done.stderr


def test_nothing_else_imports_the_tunnel() -> None:
    rooms = "restate_identity, restate_identity.asgi, restate_identity.cli.main"
    code = f"import sys, {rooms}; print('restate_identity.tunnel' in sys.modules)"
    done = ran(sys.executable, "-c", code, env=environment())
    assert done.stdout == "False\n"


def test_a_function_that_makes_the_application_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text("class Made:\n    def factory():\n        raise AssertionError\n")
    done = command(
        *complete(), "--server", "http://127.0.0.1:1", "made:Made.factory", cwd=tmp_path, RESTATE_AUTH_TOKEN=TOKEN
    )
    assert done.returncode == 2
    assert "app does not take (scope, receive, send)" in done.stderr
    assert "Traceback" not in done.stderr
