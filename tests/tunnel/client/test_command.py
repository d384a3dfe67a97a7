"""``restate-identity tunnel-client`` as a process of its own: forwarding, the local ports, and how it ends."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support import ROOT
from tests.support.command import run_as_text
from tests.support.processes import free_port, ran
from tests.tunnel.client.clients import opened, sent
from tests.tunnel.client.http2_target import Http2Target
from tests.tunnel.client.remote import AUTHORITY, CloudApi, served
from tests.tunnel.cloud import Cloud, Line
from tests.tunnel.command import Process, environment, started
from tests.tunnel.dialling import TOKEN
from tests.tunnel.tunnels import PATH, SIGNER

COMPLETE = {
    "RESTATE_TUNNEL_NAME": "greeter",
    "RESTATE_ENVIRONMENT_ID": "env_123",
    "RESTATE_SIGNING_PUBLIC_KEY": str(SIGNER.public_key),
    "RESTATE_AUTH_TOKEN": TOKEN,
    "RESTATE_TUNNEL_SERVERS": "http://127.0.0.1:1",
    "RESTATE_TUNNEL_TARGETS": "http://greeter:9080",
    "RESTATE_CLOUD_REGION": "eu",
}


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_as_text("tunnel-client", *arguments, env=environment(**variables))


class Client(Process):
    ingress_url: str
    admin_url: str


@asynccontextmanager
async def client(folder: Path, *arguments: str, **variables: str) -> AsyncIterator[Client]:
    """Run the command with the variables of Restate's own client, and every port a free one."""
    ports = [free_port() for _ in range(3)]
    log, authority = folder / "log", folder / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(authority))
    variables = {"SSL_CERT_FILE": str(authority), **variables}
    for name, port in zip(("INGRESS", "ADMIN", "HEALTH"), ports, strict=True):
        variables.setdefault(f"RESTATE_{name}_SERVE_ADDRESS", f"127.0.0.1:{port}")
    command = (sys.executable, "-m", "restate_identity", "tunnel-client", *arguments)
    async with started(*command, log=log, env=environment(**{**COMPLETE, **variables})) as process:
        running = Client(process, log, f"http://127.0.0.1:{ports[2]}/health", folder)
        running.ingress_url, running.admin_url = (f"http://127.0.0.1:{port}" for port in ports[:2])
        yield running


async def test_it_forwards_serves_the_ingress_and_says_how_it_is(tmp_path: Path) -> None:
    target, api = CloudApi(), CloudApi()
    async with (
        Cloud() as cloud,
        served(target, tmp_path) as behind,
        served(api, tmp_path) as ingress,
        client(
            tmp_path,
            "--target",
            str(behind),
            RESTATE_TUNNEL_SERVERS=str(cloud.target),
            RESTATE_INGRESS_URI=str(ingress),
        ) as here,
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        await here.until_healthy(200)
        line = await cloud.line(0)
        assert (await sent(line, str(behind))).status == 201
        assert (await sent(line, "http://127.0.0.1:22")).status == 403
        unsigned = await line.request(f"/http/127.0.0.1/{behind.port}/invoke/Greeter/echo")
        assert unsigned.status == 401
        assert (await http.get(f"{here.ingress_url}/Greeter/greet")).status_code == 201
        assert (await http.get(f"{here.ingress_url}/", headers={"origin": "https://evil.test"})).status_code == 403
        assert api.header("authorization") == [f"Bearer {TOKEN}"]
        assert len(target.seen) == len(api.seen) == 1

        health = (await http.get(here.health_url)).json()
        state = {"opened": 1, "draining": 0, "attempts": 1}
        assert health == {"status": "serving", "servers": {str(cloud.target): state}}
        metrics = (await http.get(here.health_url.replace("/health", "/metrics"))).text.splitlines()
        for sample in (
            f'restate_cloud_tunnel_opened{{server="{cloud.target}"}} 1.0',
            f'restate_cloud_tunnel_draining{{server="{cloud.target}"}} 0.0',
            f'restate_cloud_tunnel_connection_attempts_total{{server="{cloud.target}"}} 1.0',
            'restate_cloud_tunnel_local_proxy_requests_total{status="201"} 1.0',
            'restate_cloud_tunnel_local_proxy_requests_total{status="401"} 1.0',
            'restate_cloud_tunnel_local_proxy_requests_total{status="403"} 1.0',
            'restate_cloud_tunnel_remote_proxy_requests_total{status="201"} 1.0',
            'restate_cloud_tunnel_remote_proxy_requests_total{status="403"} 1.0',
            "restate_identity_tunnel_client_refused_targets_total 1.0",
            "restate_identity_tunnel_client_broken_responses_total 0.0",
            'restate_identity_tunnel_client_remote_proxy_refused_total{proxy="ingress",reason="origin"} 1.0',
            'restate_identity_tunnel_client_remote_proxy_refused_total{proxy="admin",reason="origin"} 0.0',
            'restate_identity_requests_total{outcome="refused",reason="missing_scheme"} 1.0',
        ):
            assert sample in metrics, "\n".join(metrics)
        # The page says 60, for a client without requests.
        assert psutil.Process(here.process.pid).memory_info().rss < 100 * 1000 * 1000
        here.process.terminate()
        assert await here.process.wait() == 0
        assert f"forwards to {behind}, and nowhere else" in here.printed()
        assert TOKEN not in here.printed()


async def test_a_signal_drains_the_tunnel_and_the_local_ports(tmp_path: Path) -> None:
    api = CloudApi()
    async with (
        Cloud() as cloud,
        served(api, tmp_path) as origin,
        client(
            tmp_path,
            RESTATE_TUNNEL_TARGETS=str(origin),
            RESTATE_TUNNEL_SERVERS=str(cloud.target),
            RESTATE_ADMIN_URI=str(origin),
        ) as here,
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        await here.until_healthy(200)
        line = await cloud.line(0)
        forwarded = opened(line, str(origin), path=f"/held{PATH}", end=True)
        local = asyncio.ensure_future(http.get(f"{here.admin_url}/held"))
        while len(api.bodies) < 2:  # noqa: ASYNC110 (it is another process that changes it)
            await asyncio.sleep(0.01)
        here.process.terminate()
        await line.until(lambda: bool(line.goaways))
        assert await here.health() == 503
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{here.ingress_url}/")
        assert here.process.returncode is None
        api.release.set()
        assert (await forwarded.whole()).body == b"answered"
        assert (await local).content == b"answered"
        assert await here.process.wait() == 0


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with (
        Cloud() as cloud,
        Http2Target() as target,
        client(tmp_path, "--target", target.origin, RESTATE_TUNNEL_SERVERS=str(cloud.target)) as here,
    ):
        line = await (await cloud.line(0)).accepted()
        opened(line, target.origin)
        await target.request()
        here.process.send_signal(signal.SIGINT)
        await line.until(lambda: bool(line.goaways))
        here.process.send_signal(signal.SIGINT)
        assert await here.process.wait() == 0
        assert "ended by a second signal" in here.printed()


async def test_unauthorized_ends_it_with_a_status_of_its_own(tmp_path: Path) -> None:
    async def refuse(line: Line) -> None:
        await line.handshake("unauthorized")

    async with Cloud(refuse) as cloud, client(tmp_path, RESTATE_TUNNEL_SERVERS=str(cloud.target)) as here:
        assert await here.process.wait() == 2
        assert len(cloud.lines) == 1
    assert "restate-identity: the tunnel server does not accept the auth token (unauthorized)" in here.printed()
    assert TOKEN not in here.printed()


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"RESTATE_INGRESS_SERVE_ADDRESS": "{taken}"}, "cannot listen on {taken} for the ingress proxy: "),
        ({"RESTATE_HEALTH_SERVE_ADDRESS": "{taken}"}, "cannot listen on {taken} for the health: "),
    ],
)
async def test_a_port_that_is_taken_ends_it_and_is_named(
    tmp_path: Path, variables: dict[str, str], complaint: str
) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    taken = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with client(tmp_path, **{name: value.format(taken=taken) for name, value in variables.items()}) as here:
        assert await here.process.wait() == 2
    server.close()
    assert f"restate-identity: {complaint.format(taken=taken)}" in here.printed()
    assert "Traceback" not in here.printed()


async def test_beyond_loopback_it_warns_that_access_is_access_with_the_api_key(tmp_path: Path) -> None:
    variables = {"RESTATE_INGRESS_SERVE_ADDRESS": "0.0.0.0:0", "RESTATE_ADMIN_SERVE_ADDRESS": "127.0.0.1:0"}
    async with Cloud() as cloud, client(tmp_path, RESTATE_TUNNEL_SERVERS=str(cloud.target), **variables) as here:
        await here.until_healthy(200)
    assert here.printed().count("WHOEVER REACHES THIS PORT HAS ACCESS WITH YOUR API KEY") == 1


async def test_without_remote_proxies_only_the_health_listens(tmp_path: Path) -> None:
    async with (
        Cloud() as cloud,
        client(tmp_path, RESTATE_TUNNEL_SERVERS=str(cloud.target), RESTATE_REMOTE_PROXY="false") as here,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        await here.until_healthy(200)
        for url in (here.ingress_url, here.admin_url):
            with pytest.raises(httpx.ConnectError):
                await http.get(url)


def test_a_mistake_is_one_line_that_names_the_option() -> None:
    done = command("--tunnel-name", "a b", **COMPLETE)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.endswith(": --tunnel-name must be letters, digits, '.', '_' and '-', not 'a b'\n")


def test_a_token_file_that_is_not_there_ends_it(tmp_path: Path) -> None:
    variables = {name: value for name, value in COMPLETE.items() if name != "RESTATE_AUTH_TOKEN"}
    done = command("--no-remote-proxy", RESTATE_BEARER_TOKEN_FILE=str(tmp_path / "missing"), **variables)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert f"--auth-token-file, or RESTATE_AUTH_TOKEN_FILE: the file '{tmp_path / 'missing'}' cannot" in done.stderr


def test_the_token_is_not_an_argument() -> None:
    done = command("--auth-token", TOKEN)
    assert (done.returncode, "No such option" in done.stderr) == (2, True)


@pytest.mark.parametrize("module", ["dns", "prometheus_client"])
def test_a_missing_extra_is_named(module: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None; from restate_identity.__main__ import main; "
        "sys.argv = ['restate-identity', 'tunnel-client']; sys.exit(main())"
    )
    done = ran(sys.executable, "-c", code, cwd=ROOT, env=environment())
    assert (done.returncode, json.dumps(done.stderr).count("\\n")) == (2, 1)
    assert f"{module} is missing: pip install 'restate-identity[tunnel-client]'" in done.stderr


async def test_it_raises_its_limit_of_descriptors(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        async with client(tmp_path) as running:
            await running.until_healthy(503)
            assert resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_strangers_who_take_all_descriptors_do_not_fill_the_log(tmp_path: Path) -> None:
    async with client(tmp_path) as running:
        await running.until_healthy(503)
        used = psutil.Process(running.process.pid).num_fds()
        _, hard = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (used + 5, hard))
        with ExitStack() as held:
            port = int(running.ingress_url.rpartition(":")[2])
            for _ in range(20):
                held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            await running.until_printed("no more connections can be accepted")
            await asyncio.sleep(2)
        assert running.printed().count("no more connections can be accepted") == 1
        assert "Traceback" not in running.printed()
