"""How an edge listens and ends, in this process; `tests/servers/integrations/test_edge.py` runs its command."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from restate_identity._descriptors import LossOfConnections, allow_many_connections
from restate_identity.edge import listening
from restate_identity.edge.dialects import DIALECTS
from restate_identity.edge.listening import is_reachable_from_outside, listener, serve_edge, server_config
from tests.support.eventually import eventually
from tests.support.processes import free_port


@pytest.mark.parametrize(
    ("address", "is_reachable"),
    [
        ("unix:/a", False),
        ("localhost:1", False),
        ("127.0.0.1:65535", False),
        ("127.1.2.3:9001", False),
        ("[::1]:9001", False),
        ("0.0.0.0:9001", True),
        ("[::]:9001", True),
        ("12.0.0.1:9001", True),
        ("a.test:9001", True),
    ],
)
def test_only_this_machine_reaches_loopback_and_a_unix_socket(address: str, is_reachable: bool) -> None:
    assert is_reachable_from_outside(address) is is_reachable


@pytest.mark.parametrize(
    "address", ["", "9001", ":9001", "a:", "a:0", "a:65536", "a:70000", "a:-1", "a:1x", "a:\uff11", "a: 1"]
)
def test_what_is_no_address_is_an_error(address: str) -> None:
    with pytest.raises(ValueError, match=r"^it is host:port, such as "), listener(address):
        pass


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_it_listens_where_it_is_told_to(family: int, host: str) -> None:
    with socket.socket(family) as free:
        try:
            free.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no such addresses")
        port = free.getsockname()[1]
    with listener(f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}") as bound:
        assert (bound.family, *bound.getsockname()[:2]) == (family, host, port)
        # So that a restarted edge need not wait for the connections of the one before.
        assert bound.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


class TestAUnixSocket:
    def test_it_is_for_its_owner_and_group_and_goes_with_the_listener(self, tmp_path: Path) -> None:
        path = tmp_path / "edge.sock"
        with socket.socket(socket.AF_UNIX) as abandoned:
            abandoned.bind(str(path))
        before = os.umask(0)
        try:
            with listener(f"unix:{path}"):
                assert stat.S_IMODE(path.stat().st_mode) == 0o660
                assert os.umask(0) == 0
        finally:
            os.umask(before)
        assert not path.exists()

    def test_what_another_process_has_put_there_stays(self, tmp_path: Path) -> None:
        path, older, newer = tmp_path / "edge.sock", tmp_path / "older", tmp_path / "newer"
        for another in (older, newer):
            older.write_text("another's")
            with listener(f"unix:{path}"):
                newer.write_text("another's")
                another.rename(path)
            assert path.read_text() == "another's"
            with pytest.raises(OSError, match="ddress already in use"), listener(f"unix:{path}"):
                pass
            path.unlink()
        with listener(f"unix:{path}"):
            path.unlink()

    def test_one_on_which_somebody_listens_is_not_taken_over(self, tmp_path: Path) -> None:
        path = tmp_path / "edge.sock"
        with listener(f"unix:{path}") as first:
            first.listen()
            with pytest.raises(OSError, match="ddress already in use") as error, listener(f"unix:{path}"):
                pass
            assert error.value.errno == errno.EADDRINUSE
            assert path.exists()


@pytest.mark.parametrize("behind", [*DIALECTS, ""])
def test_uvicorn_adds_nothing_and_trusts_no_header(behind: str) -> None:
    async def application(*_: Any) -> None: ...

    config = server_config(application, behind)
    assert config.http == ("h11" if behind == "envoy" else "auto")
    assert (config.ws, config.lifespan) == ("none", "off")
    added = (config.proxy_headers, config.server_header, config.date_header, config.access_log)
    assert added == (False, False, False, False)
    # Envoy keeps an idle connection for an hour.
    assert 3600 < config.timeout_keep_alive < 86400


@pytest.fixture
def _as_before() -> Iterator[None]:
    """Undo what `serve_edge` does to the process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    uvicorns = logging.getLogger("uvicorn.error")
    level = uvicorns.level
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[0], 512), limits[1]))
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    uvicorns.setLevel(level)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_then_finishes_what_is_in_flight(
    loop: str, number: signal.Signals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "restate_identity")
    if loop == "asyncio":
        monkeypatch.setattr(listening, "uvloop", None)
    port, health, metrics = (free_port() for _ in range(3))
    came, released = threading.Event(), threading.Event()
    seen: dict[str, Any] = {}

    async def application(scope: Any, _: Any, send: Any) -> None:
        came.set()
        while not released.is_set():  # noqa: ASYNC110 (it is another thread that changes it)
            await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        seen["loop"] = type(loop).__module__.partition(".")[0]
        seen["errors"] = loop.get_exception_handler()
        seen["descriptors"] = resource.getrlimit(resource.RLIMIT_NOFILE)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    def use(http: httpx.Client) -> None:
        def answer(port: int, path: str) -> httpx.Response | None:
            try:
                return http.get(f"http://127.0.0.1:{port}{path}")
            except httpx.TransportError:
                return None

        def healthy(status: int) -> bool:
            found = answer(health, "/health")
            return found is not None and found.status_code == status

        eventually(lambda: healthy(200))
        seen["metrics"] = answer(metrics, "/metrics")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as stranger:
            stranger.sendall(b"\0\r\n\r\n")
            assert stranger.recv(65536).startswith(b"HTTP/1.1 400 ")
        seen["elsewhere"] = answer(health, "/metrics")
        held = threading.Thread(target=lambda: seen.update(held=answer(port, "/held")))
        held.start()
        came.wait(60)
        os.kill(os.getpid(), number)
        eventually(lambda: healthy(503))
        released.set()
        held.join(60)

    def client() -> None:
        with httpx.Client(trust_env=False, timeout=60) as http:
            try:
                use(http)
            finally:
                released.set()
                if signal.getsignal(number) is not handler:
                    os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    thread = threading.Thread(target=client)
    with listener(f"127.0.0.1:{port}") as bound:
        thread.start()
        with pytest.raises(SystemExit) as ended:
            serve_edge(
                application,
                bound,
                behind="nginx",
                health_port=health,
                metrics_port=metrics,
                status_host="127.0.0.1",
            )
    thread.join()
    assert not ended.value.code
    assert (seen["loop"], seen["held"].text) == (loop, "/held")
    assert "python_info" in seen["metrics"].text
    assert seen["metrics"].headers["content-type"].startswith("text/plain")
    assert seen["elsewhere"].status_code == 404
    assert f"answering on ('127.0.0.1', {port})" in caplog.text
    assert "Invalid HTTP request" not in caplog.text
    assert isinstance(seen["errors"], LossOfConnections)
    assert len(set(seen["descriptors"])) == 1
    for closed in (health, metrics):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", closed))


def test_the_limit_of_descriptors_is_raised_as_far_as_it_goes() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        allow_many_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_lack_of_descriptors_is_one_line_in_ten_seconds(number: int, caplog: pytest.LogCaptureFixture) -> None:
    loop, now = asyncio.new_event_loop(), [100.0]
    lost = LossOfConnections()
    try:
        loop.time = lambda: now[0]  # type: ignore[method-assign]
        for now[0], lines in ((100.0, 1), (100.5, 1), (109.9, 1), (110.0, 2), (119.9, 2), (120.0, 3)):
            lost(loop, {"message": "accept failed", "exception": OSError(number, "too many")})
            assert caplog.text.count("no more connections can be accepted: raise the limit of open files") == lines
        assert "accept failed" not in caplog.text
        for other in (OSError(errno.EACCES, "denied"), ValueError("wrong"), None):
            lost(loop, {"message": "something else", "exception": other})
        assert caplog.text.count("something else") == 3
        assert {record.name for record in caplog.records} == {"restate_identity", "asyncio"}
    finally:
        loop.close()
