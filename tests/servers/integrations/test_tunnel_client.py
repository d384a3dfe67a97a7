"""``integrations/tunnel_client``: its command with the settings of the Compose file; `test_docker` lints its image."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from restate_identity._health_server import HEALTH_PATH
from restate_identity.tunnel.client.configuration import Configuration, configuration
from restate_identity.tunnel.client.settings import GRACE
from tests.servers.integrations.serving import INTEGRATIONS, instructions
from tests.support.processes import PATH, free_port, ran
from tests.tunnel.client.clients import sent
from tests.tunnel.client.http2_target import Http2Target
from tests.tunnel.cloud import Cloud
from tests.tunnel.command import Process, environment, started
from tests.tunnel.dialling import TOKEN
from tests.tunnel.tunnels import SIGNER

FOLDER = INTEGRATIONS / "tunnel_client"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
MANIFESTS: dict[str, Any] = {
    document["kind"]: document for document in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
}
POD: dict[str, Any] = MANIFESTS["Deployment"]["spec"]["template"]["spec"]
VALUES = {
    "RESTATE_ENVIRONMENT_ID": "env_123",
    "RESTATE_TUNNEL_NAME": "greeter",
    "RESTATE_CLOUD_REGION": "eu",
    "RESTATE_SIGNING_PUBLIC_KEY": str(SIGNER.public_key),
}


def of_compose() -> dict[str, str]:
    """Return the environment of the client, with the values that the instructions export."""
    filled = COMPOSE["services"]["tunnel"]["environment"].items()
    return {name: re.sub(r"\$\{(\w+):\?\}", lambda found: VALUES[found[1]], value) for name, value in filled}


def of_kubernetes() -> dict[str, str]:
    (container,) = POD["containers"]
    return {variable["name"]: variable["value"] for variable in container["env"]}


def test_the_instructions_export_what_the_compose_file_asks_for() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?\}", (FOLDER / "compose.yaml").read_text()))
    exported = re.findall(r"^export (\w+)=", (FOLDER / "README.md").read_text(), flags=re.MULTILINE)
    assert set(exported) == asked == set(VALUES)


def test_the_instructions_keep_the_token_from_others_and_give_it_to_the_user_of_the_image(tmp_path: Path) -> None:
    readme = (FOLDER / "README.md").read_text()
    (write, user) = re.findall(r"^(\(umask .*?\)).*\nsudo chown (\d+) token$", readme, flags=re.MULTILINE)[0]
    subprocess.run(["/bin/sh", "-c", write], cwd=tmp_path, input="key_123\n", text=True, check=True)
    (token,) = tmp_path.iterdir()
    assert token.name == Path(COMPOSE["secrets"]["restate-token"]["file"]).name
    assert (token.read_text(), token.stat().st_mode & 0o777) == ("key_123\n", 0o600)
    assert instructions(FOLDER, "USER") == [f"{user}:{user}"]


@pytest.mark.parametrize("environ", [of_compose(), of_kubernetes()], ids=["compose", "kubernetes"])
def test_the_variables_are_a_complete_configuration_that_opens_nothing(environ: dict[str, str]) -> None:
    found: Configuration = configuration({}, environ)
    assert found.ports == ()
    (target,) = found.settings.targets.texts
    assert target.startswith("http://greeter")


def test_the_service_beside_it_is_reached_by_the_client_only() -> None:
    services = COMPOSE["services"]
    assert "ports" not in services["greeter"]
    assert services["tunnel"]["ports"] == ["127.0.0.1:9090:9090"]
    assert services["greeter"]["networks"] == services["tunnel"]["networks"] == list(COMPOSE["networks"])
    assert configuration({}, of_compose()).settings.targets.texts == ("http://greeter:9080",)
    assert (FOLDER / services["greeter"]["build"] / "Dockerfile").is_file()


def test_the_container_can_write_nothing_and_gain_nothing() -> None:
    tunnel = COMPOSE["services"]["tunnel"]
    assert (tunnel["read_only"], tunnel["cap_drop"]) == (True, ["ALL"])
    assert tunnel["security_opt"] == ["no-new-privileges:true"]
    (container,) = POD["containers"]
    context = container["securityContext"]
    assert (context["readOnlyRootFilesystem"], context["runAsNonRoot"]) == (True, True)
    assert (context["allowPrivilegeEscalation"], context["capabilities"]) == (False, {"drop": ["ALL"]})
    assert POD["automountServiceAccountToken"] is False


def test_the_token_is_mounted_where_the_client_reads_it() -> None:
    tunnel = COMPOSE["services"]["tunnel"]
    (secret,) = tunnel["secrets"]
    assert of_compose()["RESTATE_AUTH_TOKEN_FILE"] == f"/run/secrets/{secret}"
    assert list(COMPOSE["secrets"]) == [secret]
    (container,) = POD["containers"]
    (mount,) = container["volumeMounts"]
    (volume,) = POD["volumes"]
    (item,) = volume["secret"]["items"]
    assert of_kubernetes()["RESTATE_AUTH_TOKEN_FILE"] == f"{mount['mountPath']}/{item['path']}"
    assert ("subPath" in mount, mount["readOnly"], mount["name"]) == (False, True, volume["name"])
    for path in FOLDER.iterdir():
        assert not re.search(r"kind: Secret\b|\bkey_\w{8}", path.read_text()), path


def test_both_wait_longer_for_the_end_than_what_is_in_flight_may_take() -> None:
    assert int(COMPOSE["services"]["tunnel"]["stop_grace_period"].removesuffix("s")) > GRACE
    assert POD["terminationGracePeriodSeconds"] > GRACE


def test_on_kubernetes_only_the_port_for_health_and_metrics_is_reached() -> None:
    (container,) = POD["containers"]
    (port,) = container["ports"]
    assert port == {"name": "health", "containerPort": configuration({}, of_kubernetes()).health.port}
    assert container["readinessProbe"]["httpGet"] == {"path": HEALTH_PATH, "port": "health"}
    assert "livenessProbe" not in container
    policy = MANIFESTS["NetworkPolicy"]["spec"]
    assert policy == {
        "podSelector": MANIFESTS["Deployment"]["spec"]["selector"],
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": "health"}]}],
    }
    labels = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels


def health_check(variables: dict[str, str]) -> int:
    (check,) = instructions(FOLDER, "HEALTHCHECK")
    argv = json.loads(check[check.index("CMD ") + len("CMD ") :])
    return ran(sys.executable, *argv[1:], cwd=FOLDER, env=variables).returncode


async def test_the_command_of_the_image_forwards_and_the_health_check_follows_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (entrypoint,) = instructions(FOLDER, "ENTRYPOINT")
    env = dict(pair.split("=", 1) for line in instructions(FOLDER, "ENV") for pair in shlex.split(line))
    target = Http2Target(on_complete=lambda served: served.answer(b"greeted"))
    async with Cloud() as cloud, target:
        port = free_port()
        variables = environment(
            **env,
            **{
                **of_compose(),
                "PATH": PATH,
                "RESTATE_AUTH_TOKEN_FILE": str(tmp_path / "token"),
                "RESTATE_TUNNEL_TARGETS": target.origin,
                "RESTATE_TUNNEL_SERVERS": str(cloud.target),
                "RESTATE_HEALTH_SERVE_ADDRESS": f"[::]:{port}",
            },
        )
        log = tmp_path / "log"
        async with started(*json.loads(entrypoint), log=log, env=variables, cwd=FOLDER) as process:
            here = Process(process, log, f"http://127.0.0.1:{port}{HEALTH_PATH}", tmp_path)
            await here.until_healthy(200)
            assert await asyncio.to_thread(health_check, variables) == 0
            answer = await sent(await cloud.line(0), target.origin)
            assert (answer.status, answer.body) == (200, b"greeted")
            process.terminate()
            assert await process.wait() == 0
            assert await asyncio.to_thread(health_check, variables) != 0
