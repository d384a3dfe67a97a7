"""A real Restate server, and two processes of a service that encrypt with different data keys and are killed."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import restate

from restate_identity.encryption import JournalEncryption, LocalKeys
from restate_identity.encryption.frames import read_frame
from restate_identity.encryption.local_key_file import line_of
from restate_identity.signing import RequestSigner
from tests.encryption import services
from tests.support.processes import free_port
from tests.support.restate_server import RestateServer
from tests.support.servers import Server, hypercorn, serve

WORKERS = 2
# So that what the server writes to its disk can be searched.
UNCOMPRESSED = {
    f"RESTATE_{section}ROCKSDB_DISABLE_{what}_COMPRESSION": "true"
    for section in ("", "WORKER__STORAGE__", "BIFROST__LOCAL__", "LOG_SERVER__", "METADATA_SERVER__")
    for what in ("WAL", "L0_L1")
}

DOZING = "sys_journal j JOIN sys_invocation i ON i.id = j.id WHERE i.status != 'completed' AND entry_type LIKE '%Sleep'"
PAUSED = "sys_invocation WHERE status = 'paused'"
WAITING = "sys_invocation WHERE status != 'completed' AND last_failure LIKE '%encryption: %'"


@dataclass
class Deployment:
    """A server, and the service in two processes. Each secret begins with *secret*, the objects are called *name*."""

    restate: RestateServer
    data: Path
    start: Callable[[], Server]
    server: Server
    codec: JournalEncryption
    keys: Path
    down: Path
    """While it is there, the processes reach no key."""
    steps: Path
    """Has a line for each step that a handler took."""
    secret: str
    name: str

    async def call(self, path: str, argument: str | None = None) -> Any:
        """Call a handler as somebody with the keys does."""
        body, headers = b"", {}
        if argument is not None:
            body = self.codec.encode(json.dumps(argument).encode())
            headers = {"content-type": "application/json"}
        # Nothing here uses TLS, and to read the trusted certificates takes longer than most calls.
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=90) as client:
            answer = await client.post(f"{self.restate.ingress_url}/{path}", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        plaintext = await self.codec.decode(answer.content) if answer.content else b""
        return json.loads(plaintext) if plaintext else None

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of a table of the server."""
        answer = httpx.post(
            f"{self.restate.admin_url}/query",
            json={"query": f"SELECT * FROM {table}"},
            headers={"accept": "application/json"},
            trust_env=False,
            verify=False,
        )
        answer.raise_for_status()
        rows: list[dict[str, Any]] = answer.json()["rows"]
        return rows

    def find_the_secret(self, content: bytes, where: str) -> None:
        """Fail if *content* has the secret in any form, or lacks the name: then it is not what it should be."""
        assert self.name.encode() in content, where
        secret = self.secret.encode()
        forms = [secret, secret.hex().encode()]
        forms += [base64.b64encode(bytes(shift) + secret)[4:-4] for shift in range(3)]
        assert [form for form in forms if form in content] == [], f"{where}: the secret is there"

    def find_it_in_the_files(self) -> None:
        self.find_the_secret(
            b"".join(path.read_bytes() for path in self.data.rglob("*") if path.is_file()), "the files"
        )

    def kill(self) -> None:
        os.killpg(self.server.pid, signal.SIGKILL)

    def restart(self) -> None:
        self.server = self.start()


@pytest.fixture(scope="module", params=["bidi", "request_response"])
def deployment(
    request: pytest.FixtureRequest,
    restate_program: Path,
    identity_pem: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("encrypted")
    keys = folder / "keys"
    keys.touch(mode=0o600)
    keys.write_text(line_of("first", os.urandom(32)))
    down, steps = folder / "down", folder / "steps"
    env = {
        "KEYS": str(keys),
        "DOWN": str(down),
        "STEPS": str(steps),
        "PROTOCOL": request.param,
        "IDENTITY_KEY": str(RequestSigner.from_pem(identity_pem).public_key),
    }
    port = free_port()
    with ExitStack() as stack:

        def start() -> Server:
            command = hypercorn("tests.encryption.served_app:app", f"--workers={WORKERS}")
            return stack.enter_context(serve(*command, env=env, port=port, patience=0.0))

        data = folder / "data"
        server = RestateServer(restate_program, identity_key=identity_pem, data=data, env=UNCOMPRESSED)
        stack.enter_context(server)
        codec = asyncio.run(JournalEncryption.create(LocalKeys(keys)))
        service = start()
        bidirectional = request.param == "bidi"
        server.register(f"http://127.0.0.1:{port}", use_http_11=not bidirectional).raise_for_status()
        # A secret, which is encrypted everywhere, and a name, which is nowhere.
        secret, name = uuid.uuid4().hex, uuid.uuid4().hex
        deployment = Deployment(server, data, start, service, codec, keys, down, steps, secret, name)
        asyncio.run(deployment.call(f"Vault/{name}/put", secret))
        yield deployment
    # When it has ended, it has written everything.
    deployment.find_it_in_the_files()


@pytest.fixture(autouse=True)
async def _everything_was_encrypted(deployment: Deployment) -> AsyncIterator[None]:
    """After each test nothing has the secret: no row of the journals and of the state, and no file of the server."""
    yield
    journals = deployment.rows("sys_journal")
    assert len(journals) > 5
    invocations = deployment.rows("sys_invocation")
    deployment.find_the_secret(json.dumps([journals, invocations]).encode(), "the journals and invocations")
    deployment.find_the_secret(json.dumps(deployment.rows("state")).encode(), "the state")
    deployment.find_it_in_the_files()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds, which another process brings about."""
    while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (it happens in another process)
        await asyncio.sleep(0.1)


async def test_all_that_a_journal_stores_comes_back_decrypted(deployment: Deployment) -> None:
    secret, name = deployment.secret, deployment.name
    assert await deployment.call("Desk/say", secret) == f"{secret} step"
    assert await deployment.call("Desk/relay", secret) == f"{secret} call step, {secret} awakeable"
    assert await deployment.call(f"Vault/{name}/put", f"{secret} 1") == secret
    assert await deployment.call(f"Vault/{name}/put", f"{secret} 2") == f"{secret} 1"
    assert await deployment.call(f"Vault/{name}/look") == f"{secret} 2"
    running = asyncio.ensure_future(deployment.call(f"Signup/{name}/run", secret))
    await deployment.call(f"Signup/{name}/confirm", f"{secret} promise")
    assert await running == f"{secret}, {secret} promise"


async def test_a_client_of_the_sdk_with_the_codec_calls_too(deployment: Deployment) -> None:
    async with restate.create_client(deployment.restate.ingress_url, journal_value_codec=deployment.codec) as client:
        text = deployment.secret
        assert await client.service_call(services.say, arg=text) == f"{text} step"


async def test_failures_and_names_are_not_encrypted(deployment: Deployment) -> None:
    text = f"shown {uuid.uuid4()}"
    with pytest.raises(AssertionError, match=text):
        await deployment.call("Desk/fail", text)
    # The names are looked for after each test.
    assert text in json.dumps(deployment.rows("sys_invocation"))


async def test_processes_have_data_keys_of_their_own_and_read_each_other_s(deployment: Deployment) -> None:
    texts = [f"{deployment.secret} {number}" for number in range(40)]
    objects = [f"{deployment.name}-{number}" for number in range(40)]

    async def put(pairs: slice) -> list[Any]:
        chosen = zip(objects[pairs], texts[pairs], strict=True)
        return await asyncio.gather(*(deployment.call(f"Vault/{key}/put", text) for key, text in chosen))

    await put(slice(40))
    # Which of the processes the server calls is chance, so others take over.
    deployment.kill()
    await asyncio.to_thread(deployment.restart)
    assert await put(slice(20)) == texts[:20]
    assert await asyncio.gather(*(deployment.call(f"Vault/{key}/look") for key in objects)) == texts
    rows = [row for row in deployment.rows("state") if row["service_key"] in objects]
    keys = {read_frame(bytes.fromhex(row["value"])).encrypted_key for row in rows}
    assert len(rows) == 40
    assert len(keys) >= 2


async def test_what_was_killed_is_replayed_by_processes_with_new_data_keys(deployment: Deployment) -> None:
    texts = [f"{deployment.secret} {number}" for number in range(20)]
    dozing = [asyncio.ensure_future(deployment.call("Desk/doze", text)) for text in texts]
    for _ in range(2):
        await asyncio.sleep(0.7)
        deployment.kill()
        await asyncio.to_thread(deployment.restart)
    assert await asyncio.gather(*dozing) == [f"{text} first, {text} second" for text in texts]


async def test_while_no_key_can_be_reached_calls_wait_and_nothing_is_lost_or_done_twice(deployment: Deployment) -> None:
    deployment.steps.write_text("")
    texts = [f"{deployment.secret} {number}" for number in range(10)]
    dozing = [asyncio.ensure_future(deployment.call("Desk/doze", text)) for text in texts]
    # Then each has taken its first step, and the journal has it.
    await until(lambda: len(deployment.rows(DOZING)) == len(dozing))
    deployment.down.touch()
    deployment.kill()
    await asyncio.to_thread(deployment.restart)
    saying = [asyncio.ensure_future(deployment.call("Desk/say", text)) for text in texts]
    await until(lambda: len(deployment.rows(WAITING)) == len(dozing) + len(saying))
    paused = asyncio.ensure_future(deployment.call("Desk/try_once", deployment.secret))
    with pytest.raises(AssertionError, match="encryption: "):  # as its policy wants it
        await deployment.call("Desk/try_once_or_fail", deployment.secret)
    await until(lambda: len(deployment.rows(PAUSED)) == 1)
    deployment.down.unlink()

    def resumed() -> bool:
        # Again, where a process does not know yet that there are keys.
        for row in deployment.rows(PAUSED):
            httpx.patch(f"{deployment.restate.admin_url}/invocations/{row['id']}/resume", trust_env=False, verify=False)
        return paused.done()

    await until(resumed)
    assert await paused == deployment.secret
    assert await asyncio.gather(*dozing) == [f"{text} first, {text} second" for text in texts]
    assert await asyncio.gather(*saying) == [f"{text} step" for text in texts]
    taken = deployment.steps.read_text().splitlines()
    assert (len(taken), len(set(taken))) == (20, 20)


async def test_a_new_local_key_is_used_while_calls_run_and_the_old_one_still_decrypts(deployment: Deployment) -> None:
    async def killed_and_restarted_with(*keys: str) -> None:
        deployment.keys.write_text("".join(keys))
        deployment.kill()
        await asyncio.to_thread(deployment.restart)

    old, new = deployment.keys.read_text(), line_of("second", os.urandom(32))
    dozing = [asyncio.ensure_future(deployment.call("Desk/doze", deployment.secret)) for _ in range(5)]
    # All have the new key before anybody encrypts with it.
    await killed_and_restarted_with(old, new)
    deployment.codec = await JournalEncryption.create(LocalKeys(deployment.keys))
    await killed_and_restarted_with(new, old)
    assert set(await asyncio.gather(*dozing)) == {f"{deployment.secret} first, {deployment.secret} second"}
    await deployment.call(f"Vault/{deployment.name}/put", deployment.secret)
    (value,) = {row["value"] for row in deployment.rows("state") if row["service_key"] == deployment.name}
    assert b"second" in read_frame(bytes.fromhex(value)).encrypted_key
