"""``integrations/encryption``: an encrypted journal, with local keys, AWS KMS and a provider of one's own."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from restate_identity.encryption import EncryptionError, EncryptionReason, JournalEncryption
from tests.servers.integrations.serving import HTTP, INTEGRATIONS, Launcher
from tests.support.kms import new_key, running_kms
from tests.support.processes import PATH, ran
from tests.support.restate_server import RestateServer

FOLDER = INTEGRATIONS / "encryption"
README = (FOLDER / "README.md").read_text("utf-8")
TEXT = "slept well"


def printed(command: str, cwd: Path, env: Mapping[str, str]) -> str:
    done = ran("bash", "-c", command, cwd=cwd, env={"PATH": PATH, **env})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def has_the_text(server: RestateServer) -> bool:
    answers = [
        HTTP.post(f"{server.admin_url}/query", json={"query": f"SELECT * FROM {table}"}).content
        for table in ("sys_journal", "state")
    ]
    assert all(len(answer) > 100 for answer in answers)
    return any(form in answer for answer in answers for form in (TEXT.encode(), TEXT.encode().hex().encode()))


def test_the_commands_of_the_readme_call_it_with_local_keys(
    launch: Launcher, restate_server: RestateServer, tmp_path: Path
) -> None:
    keygen = next(line for line in README.splitlines() if " encryption keygen " in line)
    printed(keygen, tmp_path, {})
    served = launch("encryption", hypercorn_for, env={"JOURNAL_KEYS": str(tmp_path / "journal-keys.txt")})
    restate_server.register(served.url).raise_for_status()
    (call,) = re.findall(r"^```sh\n(echo .*?)^```", README, re.MULTILINE | re.DOTALL)
    assert TEXT in call
    assert printed(call.replace("http://localhost:8080", restate_server.ingress_url), tmp_path, {}) == "1"
    assert not has_the_text(restate_server)


def test_with_kms_the_values_are_those_of_kms(launch: Launcher, restate_server: RestateServer, tmp_path: Path) -> None:
    with running_kms() as kms:
        env = {
            "JOURNAL_KMS_KEY": new_key(kms),
            "AWS_ENDPOINT_URL_KMS": kms["endpoint_url"],
            "AWS_DEFAULT_REGION": kms["region_name"],
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
        }
        served = launch("encryption", hypercorn_for, env=env)
        restate_server.register(served.url).raise_for_status()
        encryption = f"restate-identity encryption {{}} --kms-key {env['JOURNAL_KMS_KEY']}"
        call = (
            f"echo '\"{TEXT}\"' | {encryption.format('encrypt')} --raw | curl --silent --data-binary @- "
            f"--header content-type:application/json {restate_server.ingress_url}/Patient/bob/note "
            f"| {encryption.format('decrypt')}"
        )
        assert printed(call, tmp_path, env) == "1"
        assert not has_the_text(restate_server)


@pytest.mark.parametrize("given", [{}, {"JOURNAL_KEYS": ""}, {"JOURNAL_KEYS": "keys", "JOURNAL_KMS_KEY": "alias/a"}])
def test_without_exactly_one_kind_of_keys_it_does_not_start(given: dict[str, str]) -> None:
    done = ran("python", "app.py", cwd=FOLDER, env={"PATH": PATH, **given})
    assert (done.returncode, done.stderr.startswith("set JOURNAL_KEYS")) == (1, True)


async def test_a_provider_of_ones_own_makes_decrypts_and_refuses_data_keys() -> None:
    fernet_keys, key = loaded(FOLDER / "own_provider.py").FernetKeys, Fernet.generate_key()
    first, second = [await JournalEncryption.create(fernet_keys(key)) for _ in range(2)]
    assert await second.decode(first.encode(b"value")) == b"value"
    stranger = await JournalEncryption.create(fernet_keys(Fernet.generate_key()))
    with pytest.raises(EncryptionError) as caught:
        await stranger.decode(first.encode(b"value"))
    assert caught.value.reason is EncryptionReason.UNKNOWN_DATA_KEY


def hypercorn_for(port: int) -> list[str]:
    return ["python", "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "app:app"]


def loaded(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
