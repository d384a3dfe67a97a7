"""``integrations/proxies``: a real server calls a guarded service through each proxy, over HTTP/2."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from restate_identity.probe import probe
from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import HTTP, Launcher, Served, forgeries
from tests.support import ROOT
from tests.support.invocation import CONTENT_TYPE, invocation_body
from tests.support.processes import free_port
from tests.support.proxies import COMMANDS, is_installed, proxied
from tests.support.restate_server import RestateServer
from tests.support.wire import Http2Connection, Http2Exchange, Http2Stream

FILES = ROOT / "integrations" / "proxies"
GREET = "/invoke/Greeter/greet"
# In seconds. Far longer than a call takes, and far shorter than the life of a token.
SOON = 20.0
# How long a request is held back, at least.
HELD_BACK = 2.0


@pytest.fixture(scope="module")
def service(launch: Launcher) -> Served:
    command = ["python", "-m", "hypercorn", "--config", "hypercorn.toml"]
    return launch("restate_sdk", lambda port: [*command, "--workers", "1", "--bind", f"127.0.0.1:{port}", "app:app"])


def behind(name: str, files: Path, service: Served, folder: Path) -> Iterator[Served]:
    if not is_installed(name):
        pytest.skip(f"{name} has no package for this platform")
    upstream = int(service.url.rpartition(":")[2])
    with proxied(name, files, folder, port=free_port(), upstream=upstream) as server:
        served = Served(server.url, service.log)
        assert within(SOON, lambda: served.get("/health").status_code == 200)
        yield served


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="module", params=COMMANDS)
def proxy(
    request: pytest.FixtureRequest, service: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The service behind a proxy."""
    yield from behind(request.param, FILES, service, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def nginx_with_its_defaults(service: Served, tmp_path: Path) -> Iterator[Served]:
    files, folder = tmp_path / "files", tmp_path / "folder"
    files.mkdir()
    folder.mkdir()
    buffered = (FILES / "nginx.conf").read_text("utf-8").replace("proxy_request_buffering off;", "")
    (files / "nginx.conf").write_text(buffered, "utf-8")
    yield from behind("nginx", files, service, folder)


def sent(proxy: Served, headers: dict[str, str]) -> Http2Exchange:
    """Begin a call of the greeter. Its stream is reset as soon as its status is known, as Restate does after a 401."""
    return Http2Exchange(int(proxy.url.rpartition(":")[2]), "POST", GREET, headers.items(), body=True)


def status(proxy: Served, headers: dict[str, str], body: bytes) -> int:
    with sent(proxy, {"content-type": CONTENT_TYPE, **headers}) as call:
        call.send(body)
        call.end()
        status = call.status()
        # A caller that leaves before the end may interrupt the handler. A refusal may have no end, see the README.
        while status == 200 and call.read():
            pass
        return status


def is_judged_while_its_body_is_open(proxy: Served) -> bool:
    """Return whether the service refuses an unsigned call before the call has ended."""
    before = len(proxy.refusals())
    with sent(proxy, {}) as call:
        call.send(b"{")
        return within(HELD_BACK, lambda: len(proxy.refusals()) > before)


def test_a_real_server_calls_the_service_through_the_proxy(proxy: Served, restate_server: RestateServer) -> None:
    answer = restate_server.register(proxy.url)
    assert answer.is_success, answer.text
    details = HTTP.get(f"{restate_server.admin_url}/deployments/{answer.json()['id']}").json()
    assert (details["http_version"], details["protocol_type"]) == ("HTTP/2.0", "BidiStream")
    before = restate_server.invoke("Counter/behind%20a%20proxy/add", 0).json()
    assert restate_server.invoke("Counter/behind%20a%20proxy/add", 2).json() == before + 2


def test_a_request_that_restate_did_not_sign_is_refused(proxy: Served, signer: RequestSigner) -> None:
    for how, headers in forgeries(signer, GREET).items():
        assert status(proxy, headers, invocation_body("", "Mallory")) == 401, how
    assert status(proxy, signer.headers(GREET), invocation_body("", "Grace")) == 200
    assert within(SOON, lambda: proxy.has_printed("greeting Grace"))
    assert not proxy.has_printed("greeting Mallory")


def test_the_service_judges_a_request_whose_body_is_still_open(proxy: Served) -> None:
    assert is_judged_while_its_body_is_open(proxy)


def test_a_key_that_is_too_long_costs_no_other_call(proxy: Served, signer: RequestSigner) -> None:
    # Whoever may call the ingress chooses the key, and it is in two headers. This one is as long as a URL may be.
    key = "k" * 65_000
    long = {"content-type": CONTENT_TYPE, "x-restate-service-key": key, **signer.headers(GREET, subject=key)}
    with Http2Connection(int(proxy.url.rpartition(":")[2])) as connection:
        headers = {"content-type": CONTENT_TYPE, **signer.headers(GREET)}
        other = Http2Stream(connection, "POST", GREET, headers.items(), body=True)
        with suppress(ConnectionError):  # Envoy resets it
            assert Http2Stream(connection, "POST", GREET, long.items(), body=True).status() >= 400
        other.send(invocation_body("", "Ada"))
        other.end()
        assert other.status() == 200


def test_the_probe_finds_nothing(proxy: Served, signer: RequestSigner) -> None:
    report = probe(proxy.url, signer=signer)
    assert report.waits_for_the_end is False
    assert report.findings == ()


def test_nginx_with_its_defaults_holds_a_request_back_until_its_body_ends_and_the_probe_says_so(
    nginx_with_its_defaults: Served,
) -> None:
    assert not is_judged_while_its_body_is_open(nginx_with_its_defaults)
    command = [sys.executable, "-m", "restate_identity", "probe", nginx_with_its_defaults.url]
    probed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "let the proxy in front stream requests" in " ".join(probed.stdout.split())
    assert probed.stdout.endswith(", but calls of Restate would expire\n")
    assert probed.returncode == 1
