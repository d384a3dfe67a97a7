"""Inside the Restate SDK: a failure ends the attempt and is told to Restate, and never ends the invocation."""

from __future__ import annotations

import json
import logging
import re
import struct
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import httpx
import pytest
import restate
from pydantic import BaseModel, ConfigDict

from restate_identity.encryption import EncryptionError, JournalEncryption, journal
from restate_identity.restate_sdk import app
from restate_identity.signing import RequestSigner
from tests.encryption.providers import Keys, changed, from_another_process, not_ready
from tests.support.invocation import CONTENT_TYPE, invocation_body

GREET, COUNT = "/invoke/Greeter/greet", "/invoke/Greeter/count"
ERROR, OUTPUT, END, RUN_RESULT = 0x0002, 0x0401, 0x0003, 0x0005
PLAIN = b'"Ada"'

greeter = restate.Service("Greeter")
calls: list[str] = []


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str:
    calls.append(name)
    return f"Hello {name}"


@greeter.handler()
async def count(ctx: restate.Context) -> int:
    calls.append("count")
    try:
        return await ctx.run_typed("one", lambda: 1, restate.RunOptions(max_attempts=1))
    except Exception:  # noqa: BLE001 (as users do, and it must not hide the failure)
        return 0


@greeter.handler()
async def resolve(ctx: restate.Context) -> None:
    try:
        ctx.resolve_awakeable("prom_1", "Ada")
    except Exception:  # noqa: BLE001 (as users do)
        calls.append("went on without it")


class Payment(BaseModel):
    card: int


class DiscreetPayment(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    card: int


@greeter.handler()
async def pay(ctx: restate.Context, payment: Payment) -> None: ...


@greeter.handler()
async def pay_discreetly(ctx: restate.Context, payment: DiscreetPayment) -> None: ...


@greeter.handler()
async def fail(ctx: restate.Context, name: str) -> None:
    raise ValueError("told") from KeyError(name)


@greeter.handler()
async def fail_in_a_run(ctx: restate.Context, name: str) -> None:
    def step() -> None:
        raise KeyError(name)

    await ctx.run_typed("step", step, restate.RunOptions(max_attempts=1))


@greeter.handler()
async def end(ctx: restate.Context, name: str) -> None:
    raise restate.TerminalError("told") from KeyError(name)


@pytest.fixture(autouse=True)
def _no_calls_yet() -> None:
    calls.clear()


async def invoked(served: Any, path: str, argument: bytes, headers: dict[str, str] | None = None) -> dict[int, bytes]:
    """Return the messages of the answer by their types."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://service") as client:
        body = invocation_body("", argument)
        response = await client.post(path, headers={"content-type": CONTENT_TYPE, **(headers or {})}, content=body)
    assert response.status_code == 200
    rest, found = response.content, {}
    while rest:
        kind, _, size = struct.unpack(">HHI", rest[:8])
        found[kind] = rest[8 : 8 + size]
        rest = rest[8 + size :]
    return found


async def test_input_and_output_are_encrypted() -> None:
    codec = await JournalEncryption.create(Keys())
    answer = await invoked(restate.app([greeter], journal_value_codec=codec), GREET, await from_another_process(PLAIN))
    assert calls == ["Ada"]
    assert b"Ada" not in answer[OUTPUT]
    sealed = answer[OUTPUT][re.search(rb"RTv1\0", answer[OUTPUT]).start() :]  # type: ignore[union-attr]  # it is there
    assert json.loads(await codec.decode(sealed)) == "Hello Ada"


async def test_it_works_behind_the_guard() -> None:
    signer = RequestSigner.generate()
    served = app(
        [greeter], identity_keys=[str(signer.public_key)], journal_value_codec=partial(JournalEncryption.create, Keys())
    )
    answer = await invoked(served, GREET, await from_another_process(PLAIN), signer.headers(GREET))
    assert (calls, END in answer) == (["Ada"], True)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: PLAIN, "not_encrypted"),
        (changed, "changed"),
        (lambda sealed: sealed[:30], "truncated"),
        (lambda sealed: sealed, "provider_unavailable"),
    ],
    ids=["plaintext", "changed", "cut", "outage"],
)
@pytest.mark.parametrize("form", ["instance", "provider"])
async def test_a_bad_input_is_tried_again_and_never_a_result(make: Any, reason: str, form: str) -> None:
    provider = Keys()
    codec = await JournalEncryption.create(provider)
    sealed = await from_another_process(PLAIN)
    if reason == "provider_unavailable":
        provider.failure = ConnectionError("hunter2")

    async def made() -> JournalEncryption:
        return codec

    served = restate.app([greeter], journal_value_codec=codec if form == "instance" else made)
    answer = await invoked(served, GREET, make(sealed))
    assert set(answer) == {ERROR}
    assert b"encryption: " + reason.encode() in answer[ERROR]
    assert not {OUTPUT, END} & set(answer)
    for secret in (b"Ada", b"hunter2", b"Traceback", b"known_keys"):
        assert secret not in answer[ERROR]
    assert calls == []
    # Nothing of it is remembered.
    provider.failure = None
    assert END in await invoked(served, GREET, sealed)


class _OwnReason(Keys):
    async def decrypt_data_key(self, encrypted: bytes) -> bytes:  # noqa: ARG002
        raise EncryptionError("vault_sealed", "hunter2")  # type: ignore[arg-type]


async def test_a_reason_of_the_provider_s_own_is_an_outage() -> None:
    codec = await JournalEncryption.create(_OwnReason())
    answer = await invoked(restate.app([greeter], journal_value_codec=codec), GREET, await from_another_process(PLAIN))
    assert set(answer) == {ERROR}
    assert b"encryption: provider_unavailable" in answer[ERROR]
    assert b"hunter2" not in answer[ERROR]


async def test_an_error_of_any_other_kind_ends_the_attempt_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> bytes:
        raise MemoryError(PLAIN)

    codec = await JournalEncryption.create(Keys())
    served = restate.app([greeter], journal_value_codec=codec)
    sealed = await from_another_process(PLAIN)
    monkeypatch.setattr(journal, "opened", no_memory)
    answer = await invoked(served, GREET, sealed)
    assert set(answer) == {ERROR}
    # No stack trace follows.
    assert answer[ERROR].endswith(b"encryption: internal_error: MemoryError")
    assert b"Ada" not in answer[ERROR]


async def test_a_log_that_raises_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(_record: object) -> bool:
        raise OSError

    logger = logging.getLogger("restate_identity")
    monkeypatch.setattr(logger, "filters", [raising])
    codec = await JournalEncryption.create(Keys())
    answer = await invoked(restate.app([greeter], journal_value_codec=codec), GREET, PLAIN)
    assert set(answer) == {ERROR}
    assert b"encryption: not_encrypted" in answer[ERROR]


async def test_a_handler_that_begins_before_the_first_data_key_waits_for_it() -> None:
    codec = not_ready(Keys())
    answer = await invoked(restate.app([greeter], journal_value_codec=codec), GREET, await from_another_process(PLAIN))
    assert (calls, END in answer) == (["Ada"], True)


async def test_without_a_data_key_the_result_of_a_run_is_no_failure_of_the_run() -> None:
    provider = Keys()
    provider.failure = OSError()
    codec = not_ready(provider)
    answer = await invoked(restate.app([greeter], journal_value_codec=codec), COUNT, b"")
    assert calls == ["count"]
    assert b"encryption: no_data_key" in answer[ERROR]
    assert not {OUTPUT, END, RUN_RESULT} & set(answer)


class Ingress(BaseHTTPRequestHandler):
    """Answers each call with the next of *answers*, and notes what was sent."""

    answers: ClassVar[list[bytes]] = []
    sent: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.sent.append(self.rfile.read(int(self.headers["content-length"])))
        answer = self.answers.pop(0)
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is given)
        """Log nothing."""


async def test_a_handler_that_catches_exceptions_does_not_go_on_without_what_was_not_encrypted() -> None:
    provider = Keys()
    provider.failure = OSError()
    served = restate.app([greeter], journal_value_codec=not_ready(provider))
    answer = await invoked(served, "/invoke/Greeter/resolve", b"")
    assert calls == []
    assert b"encryption: no_data_key" in answer[ERROR]


async def test_a_client_encrypts_and_decrypts_and_gets_the_exception_itself() -> None:
    codec = await JournalEncryption.create(Keys())
    Ingress.answers = [await from_another_process(b'"Hello Ada"'), PLAIN]
    Ingress.sent = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Ingress) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        async with restate.create_client(url, journal_value_codec=codec) as client:
            assert await client.service_call(greet, arg="Ada") == "Hello Ada"
            with pytest.raises(EncryptionError, match="not_encrypted"):
                await client.service_call(greet, arg="Ada")
        server.shutdown()
    assert [await codec.decode(value) for value in Ingress.sent] == [PLAIN, PLAIN]


@pytest.mark.parametrize(("handler", "is_shown"), [("pay", True), ("pay_discreetly", False)])
async def test_pydantic_quotes_an_argument_that_does_not_fit_unless_the_model_forbids_it(
    handler: str, is_shown: bool
) -> None:
    codec = await JournalEncryption.create(Keys())
    served = restate.app([greeter], journal_value_codec=codec)
    for argument in (b'{"card": "Ada"}', b'{"card": Ada', PLAIN):
        answer = await invoked(served, f"/invoke/Greeter/{handler}", codec.encode(argument))
        assert b"Unable to parse an input argument" in answer[OUTPUT]
        assert (b"Ada" in answer[OUTPUT]) is is_shown


@pytest.mark.parametrize(
    ("handler", "kind", "is_shown"),
    [("fail", ERROR, True), ("fail_in_a_run", RUN_RESULT, True), ("end", OUTPUT, False)],
)
async def test_exceptions_are_sent_with_their_causes_and_of_a_terminal_error_the_text_alone(
    handler: str, kind: int, is_shown: bool
) -> None:
    codec = await JournalEncryption.create(Keys())
    served = restate.app([greeter], journal_value_codec=codec)
    answer = await invoked(served, f"/invoke/Greeter/{handler}", codec.encode(PLAIN))
    assert kind in answer
    assert any(b"Ada" in message for message in answer.values()) is is_shown


async def test_a_service_without_the_codec_ends_what_is_encrypted() -> None:
    codec = await JournalEncryption.create(Keys())
    answer = await invoked(restate.app([greeter]), GREET, codec.encode(PLAIN))
    assert b"Unable to parse an input argument" in answer[OUTPUT]
    assert calls == []
