"""``integrations/kubernetes``: this library understands the manifests, and the commands in them start."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from restate_identity._health_server import HEALTH_PATH
from restate_identity.cli.main import cli
from restate_identity.keyring import KeyFile, verifier_from_environment
from restate_identity.signing import RequestSigner
from restate_identity.tunnel import TunnelSettings
from restate_identity.tunnel.options import tunnel_options
from restate_identity.tunnel.timings import TunnelTimings
from tests.servers.integrations.serving import (
    INTEGRATIONS,
    Launcher,
    Served,
    assert_only_the_signed_one_is_greeted,
)

FOLDER = INTEGRATIONS / "kubernetes"
GREET = "/invoke/KubernetesGreeter/greet"
MOUNTED = {"in-process": "RESTATE_INPROC_AUTH_TOKEN_FILE", "classic": "RESTATE_IDENTITY_KEYS_FILE"}


def manifests(name: str) -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
    return {document["kind"]: document for document in documents}


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = manifests(name)["RestateDeployment"]["spec"]["template"]["spec"]
    return spec


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["containers"]
    assert isinstance(only, dict)
    return only


def env(name: str) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(name)["env"]}


def operator_variables() -> dict[str, str]:
    """Return what the operator injects, from the environment's manifest."""
    spec = manifests("cloud-environment")["RestateCloudEnvironment"]["spec"]
    return {
        "RESTATE_INPROC_TUNNEL_NAME": "greeter-1",
        "RESTATE_INPROC_ENVIRONMENT_ID": spec["environmentId"],
        "RESTATE_INPROC_CLOUD_REGION": spec["region"],
        "RESTATE_INPROC_SIGNING_PUBLIC_KEY": spec["signingPublicKey"],
    }


def test_the_operators_variables_and_the_manifest_are_a_complete_configuration() -> None:
    options = tunnel_options({**operator_variables(), **env("in-process")}, TunnelSettings())
    (mount,) = container("in-process")["volumeMounts"]
    (volume,) = pod("in-process")["volumes"]
    (item,) = volume["secret"]["items"]
    assert repr(f"{mount['mountPath']}/{item['path']}") in repr(options.auth_token)
    secret = manifests("cloud-environment")["RestateCloudEnvironment"]["spec"]["authentication"]["secret"]
    assert (volume["secret"]["secretName"], item["key"]) == (secret["name"], secret["key"])


def test_the_token_is_not_mounted_in_a_way_that_hides_its_rotation() -> None:
    for name in MOUNTED:
        (mount,) = container(name)["volumeMounts"]
        (volume,) = pod(name)["volumes"]
        assert "subPath" not in mount
        assert mount["readOnly"] is True
        assert mount["name"] == volume["name"]
        assert Path(env(name)[MOUNTED[name]]).parent == Path(mount["mountPath"])


def test_no_manifest_holds_a_token() -> None:
    for path in FOLDER.glob("*.yaml"):
        text = path.read_text()
        assert "RESTATE_AUTH_TOKEN" not in text
        assert not re.search(r"kind: Secret\b|\bkey_\w{8}", text), path


def test_the_command_is_one_that_ours_understands() -> None:
    name, subcommand, *arguments = container("in-process")["command"]
    assert name == "restate-identity"
    command = cli.commands[subcommand]
    context = command.make_context(subcommand, list(arguments))
    port = context.params["health_port"]
    assert [(entry["name"], entry["containerPort"]) for entry in container("in-process")["ports"]] == [("health", port)]


def test_the_probe_asks_for_the_health_of_the_tunnel() -> None:
    probe = container("in-process")["readinessProbe"]["httpGet"]
    assert probe == {"path": HEALTH_PATH, "port": "health"}


def test_the_pod_has_longer_to_end_than_what_is_in_flight_and_the_application() -> None:
    timings = TunnelTimings()
    assert pod("in-process")["terminationGracePeriodSeconds"] > timings.grace + timings.start_limit


@pytest.mark.parametrize("name", MOUNTED)
def test_the_deployment_belongs_to_the_environment_and_selects_its_own_pods(name: str) -> None:
    environment = manifests("cloud-environment")["RestateCloudEnvironment"]
    deployment = manifests(name)["RestateDeployment"]
    assert deployment["apiVersion"] == environment["apiVersion"] == "restate.dev/v1beta1"
    assert "namespace" not in environment["metadata"]
    assert deployment["spec"]["restate"]["register"] == {"cloud": environment["metadata"]["name"]}
    assert deployment["spec"]["restate"].get("tunnelMode") == ("in-process" if name == "in-process" else None)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_the_environments_manifest_is_a_key_file_of_its_own() -> None:
    spec = manifests("cloud-environment")["RestateCloudEnvironment"]["spec"]
    (key,) = KeyFile(FOLDER / "cloud-environment.yaml").keys
    assert str(key) == spec["signingPublicKey"]


def test_the_keys_in_the_config_map_are_those_of_the_environment(tmp_path: Path) -> None:
    config_map = manifests("classic")["ConfigMap"]
    (volume,) = pod("classic")["volumes"]
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    name = Path(env("classic")["RESTATE_IDENTITY_KEYS_FILE"]).name
    (tmp_path / name).write_text(config_map["data"][name])
    verifier = verifier_from_environment({"RESTATE_IDENTITY_KEYS_FILE": str(tmp_path / name)})
    expected = operator_variables()["RESTATE_INPROC_SIGNING_PUBLIC_KEY"]
    assert [str(key) for key in verifier.keys] == [expected]


@pytest.fixture(scope="module")
def served(launch: Launcher, signer: RequestSigner, tmp_path_factory: pytest.TempPathFactory) -> Served:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(str(signer.public_key))

    def command(port: int) -> list[str]:
        line = shlex.join(container("classic")["command"]).replace("0.0.0.0:9080", f"127.0.0.1:{port}")
        return shlex.split(line)

    return launch("kubernetes", command, env={"RESTATE_IDENTITY_KEYS_FILE": str(keys)})


def test_the_service_behind_the_operators_tunnel_is_guarded(served: Served, signer: RequestSigner) -> None:
    assert_only_the_signed_one_is_greeted(served, signer, GREET)


def test_the_probe_of_the_classic_way_needs_no_signature(served: Served) -> None:
    path = container("classic")["readinessProbe"]["httpGet"]["path"]
    assert served.get(path).status_code == 200


def test_the_in_process_command_names_an_application_that_finds_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RESTATE_")]:
        monkeypatch.delenv(name)
    for name, value in operator_variables().items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("kubernetes_app", FOLDER / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert callable(getattr(module, container("in-process")["command"][2].partition(":")[2]))
