"""``integrations/docker``: lint the Dockerfile, and start its command without Docker."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import (
    INTEGRATIONS,
    Launcher,
    Served,
    assert_only_the_signed_one_is_greeted,
    assert_restate_greets,
    calls_through_restate_and_past_it,
    instructions,
)
from tests.support.processes import ran
from tests.support.restate_server import RestateServer

FOLDER = INTEGRATIONS / "docker"
GREET = "/invoke/DockerGreeter/greet"


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in instructions(FOLDER, "ENV") for pair in shlex.split(line))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of the image, with only the files that the Dockerfile copies."""
    folder = tmp_path_factory.mktemp("image")
    for line in instructions(FOLDER, "COPY"):
        *sources, target = line.split()
        for source in sources:
            shutil.copy(FOLDER / source, folder / target)
    return folder


@pytest.fixture(scope="module")
def served(launch: Launcher, image: Path) -> Served:
    (command,) = instructions(FOLDER, "CMD")
    argv: list[str] = json.loads(command)
    return launch(image, lambda port: _with_port(argv, port), env=environment())


def _with_port(argv: list[str], port: int) -> list[str]:
    return ["env", f"PORT={port}", *argv]


def test_a_real_server_discovers_and_calls_the_service(served: Served, restate_server: RestateServer) -> None:
    assert_restate_greets(served, restate_server, "DockerGreeter")


def test_a_request_that_restate_did_not_sign_is_refused_and_the_handler_does_not_run(
    served: Served, signer: RequestSigner
) -> None:
    assert_only_the_signed_one_is_greeted(served, signer, GREET)


def _health(image: Path, port: str) -> int:
    (check,) = instructions(FOLDER, "HEALTHCHECK")
    argv: list[str] = json.loads(check[check.index("CMD ") + len("CMD ") :])
    assert argv[0] == "python"
    env = {**environment(), "PORT": port}
    return ran(sys.executable, *argv[1:], cwd=image, env=env).returncode


def test_the_health_check_passes_while_the_service_runs_and_fails_when_it_does_not(served: Served, image: Path) -> None:
    assert _health(image, served.url.rpartition(":")[2]) == 0
    assert _health(image, "1") != 0


def test_the_container_does_not_start_without_an_identity_key(image: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "RESTATE_IDENTITY_KEYS"}
    started = ran(sys.executable, "-c", "import app", cwd=image, env=env | environment())
    assert started.returncode != 0
    assert "no identity key is configured" in started.stderr


every_image = pytest.mark.parametrize("folder", [FOLDER, INTEGRATIONS / "tunnel_client"], ids=lambda path: path.name)


@every_image
def test_the_linter_finds_nothing_in_the_dockerfile(folder: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    lint = ran(hadolint, "--no-color", "--failure-threshold", "style", "Dockerfile", cwd=folder)
    assert lint.returncode == 0, lint.stdout + lint.stderr


@every_image
def test_the_image_is_pinned_and_does_not_run_as_root(folder: Path) -> None:
    (base,) = instructions(folder, "FROM")
    assert base.partition(":")[2].split("-")[0].count(".") == 2
    (user,) = instructions(folder, "USER")
    # A number: Kubernetes cannot tell that a name is not root's.
    assert int(user.split(":")[0]) > 0


def test_the_calls_of_the_readme_are_accepted_through_restate_and_refused_past_it(
    served: Served, restate_server: RestateServer, identity_pem: Path
) -> None:
    assert calls_through_restate_and_past_it("docker", served, restate_server, identity_pem) == ["200", "401"]
