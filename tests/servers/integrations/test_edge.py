"""``integrations/edge``: the command of its instructions, in a process. `tests/servers/edge` runs the proxies."""

from __future__ import annotations

import http.client
import os
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import INTEGRATIONS
from tests.support.command import run_as_text
from tests.support.edge_command import edge
from tests.support.edge_proxies import PREFIX, PROXIES
from tests.support.eventually import eventually
from tests.support.processes import free_port

SIGNER = RequestSigner.generate()
PATH = "/invoke/Greeter/greet"
KEYS = {"RESTATE_IDENTITY_KEYS": str(SIGNER.public_key)}


def asked(port: int, headers: Mapping[str, str], path: str = "/", host: str = "127.0.0.1") -> int:
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("GET", path, headers=dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


# Only who listens on all addresses answers there.
NOT_LOOPBACK = "127.0.0.2"


def answered(port: int) -> bool:
    """Whether it allows a genuine request; libuv closes what arrives before the descriptors are free again."""
    try:
        return asked(port, question()) == 200
    except ConnectionError:
        return False


def is_allowed_through(path: Path) -> bool:
    """Whether an edge allows a genuine request over a Unix socket; the socket is there before it is listened to."""
    lines = [f"{name}: {value}" for name, value in question().items()]
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
        client.sendall("\r\n".join(["GET / HTTP/1.1", "host: x", *lines, "", ""]).encode())
        return client.recv(65536).startswith(b"HTTP/1.1 200")


def question() -> dict[str, str]:
    return {"x-original-uri": PREFIX + PATH, **SIGNER.headers(PATH)}


def complaint(*arguments: str, keys: Mapping[str, str] = KEYS) -> str:
    """Return what the command says when it does not start."""
    done = run_as_text("edge", *arguments, env={**os.environ, **keys})
    assert done.returncode == 2
    return done.stderr


def test_every_proxy_has_a_configuration() -> None:
    folders = [path.name for path in (INTEGRATIONS / "edge").iterdir() if path.is_dir()]
    assert sorted(folders) == sorted((*PROXIES, "kubernetes", "typescript"))


def test_it_says_yes_and_no_until_sigterm_and_then_ends_with_status_0(tmp_path: Path) -> None:
    health = free_port()
    with edge(tmp_path, "--behind", "nginx", "--health-port", str(health), keys=KEYS) as (process, port, log):
        assert asked(port, question()) == 200
        assert asked(port, {"x-original-uri": PREFIX + PATH}) == 401
        assert asked(health, {}, "/health") == 200
        with pytest.raises(ConnectionError):
            asked(health, {}, "/health", host=NOT_LOOPBACK)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert "missing_scheme" in log.read_text()
        assert "warning" not in log.read_text()
        assert "INFO restate_identity answering on " in log.read_text()


def test_behind_envoy_it_sees_a_fragment_in_the_request_line(tmp_path: Path) -> None:
    with edge(tmp_path, "--behind", "envoy", keys=KEYS) as (_, port, _):
        assert asked(port, SIGNER.headers(PATH), PREFIX + PATH) == 200
        assert asked(port, SIGNER.headers(PATH), f"{PREFIX}{PATH}#fragment") == 401


def test_a_unix_socket_is_for_its_owner_and_group_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "edge.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with edge(tmp_path, "--behind", "nginx", listen=f"unix:{path}", keys=KEYS) as (process, _, _):
        eventually(lambda: is_allowed_through(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not path.exists()


def test_a_unix_socket_on_which_an_edge_listens_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "edge.sock"
    with edge(tmp_path, "--behind", "nginx", listen=f"unix:{path}", keys=KEYS):
        eventually(lambda: is_allowed_through(path))
        second = complaint("--behind", "nginx", "--listen", f"unix:{path}")
        assert ("Address already in use" in second, "can be reached" in second) == (True, False)
        assert path.exists()


def test_callers_that_say_nothing_to_the_ports_for_health_and_metrics_do_not_keep_the_proxy_out(tmp_path: Path) -> None:
    health, metrics = free_port(), free_port()
    ports = ("--health-port", str(health), "--metrics-port", str(metrics))
    with edge(tmp_path, "--behind", "nginx", *ports, keys=KEYS) as (process, port, log), ExitStack() as silent:
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (200, hard))
        for _ in range(120):
            for each in (health, metrics):
                silent.enter_context(socket.create_connection(("127.0.0.1", each), timeout=20))
        assert [asked(port, question()) for _ in range(20)] == [200] * 20
        assert len(log.read_bytes()) < 5_000


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_stranger_who_takes_all_descriptors_does_not_fill_the_log(tmp_path: Path, loop: str) -> None:
    if loop == "asyncio":
        (tmp_path / "uvloop.py").write_text("raise ImportError")
    with edge(tmp_path, "--behind", "nginx", keys={**KEYS, "PYTHONPATH": str(tmp_path)}) as (process, port, log):
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (40, hard))
        with ExitStack() as silent:
            for _ in range(80):
                silent.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            time.sleep(2)
            assert len(log.read_bytes()) < 5_000
            assert ("no more connections can be accepted" in log.read_text()) is (loop == "asyncio")
        eventually(lambda: answered(port), failure="it did not recover")
        assert [asked(port, question()) for _ in range(20)] == [200] * 20


def test_a_key_file_that_needs_an_extra_names_it_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "keys").write_text("apiVersion: v1\nkind: RestateCloudEnvironment\n")
    told = complaint("--behind", "nginx", keys={"RESTATE_IDENTITY_KEYS_FILE": str(tmp_path / "keys")})
    assert told.count("\n") == 1
    assert "pip install 'restate-identity[kubernetes]'" in told


def test_a_port_that_is_taken_is_named_with_its_option() -> None:
    listen = ("--behind", "nginx", "--listen", f"127.0.0.1:{free_port()}")
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        told = complaint(*listen, "--health-port", port)
        assert f"{listen[-1]}, or on --health-port {port} of 127.0.0.1: " in told
        assert "ddress already in use" in told
        # A process can have the metrics once only.
        told = complaint(*listen, "--health-port", port, "--metrics-port", port)
        assert f", or on --health-port {port} of 127.0.0.1, or on --metrics-port {port} of 127.0.0.1: " in told


def test_a_part_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, told in (("restate_identity.edge.listening", "edge.listening"), ("prometheus_client", "pip install")):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, None)
            message = complaint("--behind", "nginx", "--metrics-port", "9", "--listen", "nowhere")
            assert (told in message, message.count("\n")) == (True, 1)


def test_it_listens_for_others_when_told_to_and_warns_that_they_can_ask(tmp_path: Path) -> None:
    health = free_port()
    open_to_all = ("--health-port", str(health), "--status-host", "0.0.0.0")
    with edge(tmp_path, "--behind", "caddy", *open_to_all, listen=f"0.0.0.0:{free_port()}", keys=KEYS) as (_, _, log):
        assert "can be reached from other machines" in log.read_text()
        if sys.platform == "linux":
            assert asked(health, {}, "/health", host=NOT_LOOPBACK) == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--behind", "apache"], "is not one of"),
        (["--behind", "nginx", "--prefix", "/a/"], "the prefix '/a/' is not plain"),
        (["--behind", "nginx", "--listen", "9001"], "--listen 9001: it is host:port"),
        (["--behind", "nginx", "--listen", "127.0.0.1:0"], "it is host:port"),
        (["--behind", "nginx", "--listen", "192.0.2.1:9001"], "cannot listen on 192.0.2.1:9001: Cannot assign"),
        (["--behind", "nginx", "--listen", "192.0.2.1:9001"], "192.0.2.1:9001 can be reached from other machines"),
    ],
)
def test_a_mistake_in_the_options_is_named_and_ends_it_with_status_2(arguments: list[str], message: str) -> None:
    assert message in complaint(*arguments)
