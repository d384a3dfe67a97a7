"""``integrations/tunnel``: the smallest service with no open port, dialling a fake Restate Cloud."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import httpx

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import INTEGRATIONS, forgeries
from tests.support.invocation import CONTENT_TYPE, invocation_body
from tests.support.processes import free_port, ran
from tests.tunnel.cloud import PREFIX, Cloud
from tests.tunnel.command import started

FOLDER = INTEGRATIONS / "tunnel"
GREET = "/invoke/TunnelGreeter/greet"


def exported() -> list[str]:
    """Return the variables that the instructions set."""
    return re.findall(r"^export (\w+)=", (FOLDER / "README.md").read_text(), flags=re.MULTILINE)


def environment(signer: RequestSigner, folder: Path) -> dict[str, str]:
    (folder / "token").write_text("key_of-the-tests\n")
    values = {
        "RESTATE_INPROC_TUNNEL_NAME": "greeter-v1",
        "RESTATE_INPROC_ENVIRONMENT_ID": "env_123",
        "RESTATE_INPROC_CLOUD_REGION": "eu",
        "RESTATE_INPROC_SIGNING_PUBLIC_KEY": str(signer.public_key),
        "RESTATE_INPROC_AUTH_TOKEN_FILE": str(folder / "token"),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RESTATE_")}
    return {**inherited, "PYTHONUNBUFFERED": "1", **{name: values[name] for name in exported()}}


async def test_the_service_dials_is_called_and_refuses_what_is_not_signed(
    signer: RequestSigner, tmp_path: Path
) -> None:
    log, port = tmp_path / "log", free_port()
    async with Cloud() as cloud:
        env = {**environment(signer, tmp_path), "PORT": str(port), "TUNNEL_SERVERS": str(cloud.target)}
        async with (
            started(sys.executable, "app.py", log=log, env=env, cwd=FOLDER) as process,
            httpx.AsyncClient(trust_env=False) as http,
        ):
            while not cloud.lines:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
            line = await (await cloud.line(0)).accepted()
            headers = {"content-type": CONTENT_TYPE}
            for how, forged in forgeries(signer, GREET).items():
                answer = await line.request(f"{PREFIX}{GREET}", headers | forged, body=invocation_body("", "Mallory"))
                assert answer.status == 401, how
            signed = {**headers, **signer.headers(GREET)}
            answer = await line.request(f"{PREFIX}{GREET}", signed, body=invocation_body("", "Ada"))
            assert (answer.status, b"Hello Ada!" in answer.body) == (200, True)
            assert (await http.get(f"http://127.0.0.1:{port}/health")).status_code == 200
            assert (await http.get(f"http://127.0.0.1:{port}{GREET}")).status_code == 404
            process.terminate()
            assert await process.wait() == 0
    printed = log.read_text()
    assert "greeting Ada" in printed
    assert "greeting Mallory" not in printed
    assert "the deployment to register is https://tunnel.test:9080/environment/greeter" in printed


def test_without_one_of_the_variables_it_does_not_start_and_says_which(signer: RequestSigner, tmp_path: Path) -> None:
    assert len(exported()) == 5
    for name in exported():
        env = {**environment(signer, tmp_path), "PORT": str(free_port())}
        del env[name]
        done = ran(sys.executable, "app.py", cwd=FOLDER, env=env)
        assert done.returncode != 0
        assert name in done.stderr.splitlines()[-1]
