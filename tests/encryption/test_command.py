"""The commands of encryption: their values come from files and standard input, never from the command line."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from restate_identity.cli.journal_keys import provider_with
from restate_identity.cli.main import run as run_command
from restate_identity.encryption import EncryptionError, EncryptionReason, JournalEncryption
from restate_identity.encryption.frames import read_frame
from restate_identity.encryption.local_key_file import read_local_keys
from tests.support.command import run_in_here
from tests.support.processes import accepts_connections, free_port, running

KEYS = "journal-keys.txt"
VALUE = b'{"name": "Ada"}'
LOGS: list[dict[str, object]] = []
"""How the log was configured."""


class Done(NamedTuple):
    """What a command returned and wrote."""

    status: int
    out: bytes
    err: str


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("logging.basicConfig", lambda **options: LOGS.append(options))
    LOGS.clear()


def run(*arguments: str, stdin: bytes = b"") -> Done:
    done = run_in_here("encryption", *arguments, stdin=stdin)
    return Done(done.returncode, done.stdout, done.stderr.decode())


def varint(number: int) -> bytes:
    """Return *number* as protobuf writes it."""
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


def complaint(done: Done) -> str:
    assert (done.status, done.out) == (2, b"")
    assert done.err.count("\n") == 1
    return done.err.rstrip("\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestKeygen:
    def test_it_makes_a_file_that_only_its_owner_can_read_and_prints_no_key(self) -> None:
        before = os.umask(0)
        try:
            done = run("keygen", "--id", "first")
        finally:
            os.umask(before)
        assert (done.status, done.out) == (0, b"")
        assert stat.S_IMODE(Path(KEYS).stat().st_mode) == 0o600
        keys = read_local_keys(KEYS).keys
        assert list(keys) == ["first"]
        assert base64.b64encode(keys["first"]).decode() not in done.err
        assert "wrote a local key to journal-keys.txt" in done.err

    def test_a_key_is_added_at_the_end(self) -> None:
        run("keygen", "--id", "first")
        first = read_local_keys(KEYS).keys["first"]
        # Its last line need not end, and its mode stays.
        Path(KEYS).write_text(Path(KEYS).read_text().rstrip("\n"))
        Path(KEYS).chmod(0o641)
        done = run("keygen", "--append", KEYS, "--id", "second")
        assert done.status == 0
        assert "added the key second at the end of journal-keys.txt, after first" in done.err
        keys = read_local_keys(KEYS).keys
        assert (list(keys), keys["first"]) == (["first", "second"], first)
        assert os.listdir() == [KEYS]  # noqa: PTH208 (the names)
        assert stat.S_IMODE(Path(KEYS).stat().st_mode) == 0o641
        if os.getuid() == 0:
            os.chown(KEYS, 65534, 65534)
            run("keygen", "--append", KEYS, "--id", "third")
            assert Path(KEYS).stat().st_uid == 65534
            assert Path(KEYS).read_text().count("\n") == 3
        assert "has a key with the id second already" in complaint(run("keygen", "--append", KEYS, "--id", "second"))

    def test_by_default_a_key_has_the_date_for_an_id(self) -> None:
        before = time.strftime("%Y-%m-%d")
        run("keygen")
        assert next(iter(read_local_keys(KEYS).keys)) in (before, time.strftime("%Y-%m-%d"))

    def test_where_a_key_cannot_be_added_the_file_is_as_it_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run("keygen", "--id", "first")
        content = Path(KEYS).read_bytes()

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        told = complaint(run("keygen", "--append", KEYS, "--id", "second"))
        assert "cannot write journal-keys.txt: No space left on device; the file is as it was" in told
        assert (os.listdir(), Path(KEYS).read_bytes()) == ([KEYS], content)  # noqa: PTH208 (the names)

        told = complaint(run("keygen", "--append", KEYS, "--id", "first"))
        assert "has a key with the id first already" in told
        assert os.listdir() == [KEYS]  # noqa: PTH208 (the names)

    def test_only_one_at_a_time_adds_a_key_and_none_is_lost(self) -> None:
        run("keygen", "--id", "first")
        ids = [f"key-{number}" for number in range(6)]
        command = [sys.executable, "-m", "restate_identity", "encryption", "keygen", "--append", KEYS, "--id"]
        started = [subprocess.Popen([*command, key_id], stderr=subprocess.PIPE, text=True) for key_id in ids]
        told = {key_id: process.communicate(timeout=60)[1] for key_id, process in zip(ids, started, strict=True)}
        added = [key_id for key_id, text in told.items() if text.startswith(f"added the key {key_id} ")]
        assert added
        assert all("another keygen is at work" in told[key_id] for key_id in {*ids} - {*added})
        assert sorted(read_local_keys(KEYS).keys) == sorted(["first", *added])
        assert os.listdir() == [KEYS]  # noqa: PTH208 (the names)

    def test_what_a_killed_one_left_stays_until_it_is_removed(self) -> None:
        run("keygen", "--id", "first")
        left = Path(f".{KEYS}.new")
        left.write_text("half of a fi")
        told = complaint(run("keygen", "--append", KEYS, "--id", "second"))
        assert f"{left.resolve()} exists: another keygen is at work, so try again; if it was killed, remove" in told
        assert (left.read_text(), list(read_local_keys(KEYS).keys)) == ("half of a fi", ["first"])
        left.unlink()
        assert run("keygen", "--append", KEYS, "--id", "second").status == 0
        assert list(read_local_keys(KEYS).keys) == ["first", "second"]

    def test_a_key_is_not_added_to_a_file_that_would_be_too_large_to_read(self) -> None:
        run("keygen", "--id", "first")
        length = Path(KEYS).stat().st_size
        content = Path(KEYS).read_text() + "#" * (64 * 1024 - 2 * length - 1) + "\n"
        Path(KEYS).write_text(content + "#")
        assert "journal-keys.txt is full: it may have 65536 bytes" in complaint(
            run("keygen", "--append", KEYS, "--id", "later")
        )
        assert Path(KEYS).read_text() == content + "#"
        Path(KEYS).write_text(content)
        assert run("keygen", "--append", KEYS, "--id", "later").status == 0
        assert list(read_local_keys(KEYS).keys) == ["first", "later"]

    def test_what_exists_is_not_overwritten_and_what_is_no_key_file_not_added_to(self) -> None:
        Path(KEYS).write_text("precious")
        Path(KEYS).chmod(0o600)
        assert "journal-keys.txt exists and is not overwritten" in complaint(run("keygen"))
        assert "line 1 is no key" in complaint(run("keygen", "--append", KEYS))
        assert Path(KEYS).read_text() == "precious"
        assert "No such file" in complaint(run("keygen", "--append", "none"))
        assert "cannot be read: No such file" in complaint(run("keygen", "--append", "no/such"))
        for out in ("-", ""):
            assert "a key is never printed" in complaint(run("keygen", "--out", out))
        assert "cannot be the id of a key" in complaint(run("keygen", "--id", "a b"))
        assert "choose one" in complaint(run("keygen", "--out", "a", "--append", "b"))
        assert "cannot make no/such" in complaint(run("keygen", "--out", "no/such"))


class TestValues:
    @pytest.fixture(autouse=True)
    def _keys(self) -> None:
        run("keygen")

    def encrypted(self, value: bytes = VALUE) -> bytes:
        done = run("encrypt", "--local-keys", KEYS, "--raw", stdin=value)
        assert (done.status, done.err) == (0, "")
        return done.out

    # The size that stands in front of a value in an entry has one, two or three bytes.
    @pytest.mark.parametrize("value", [b"", VALUE * 20, VALUE * 2000], ids=["empty", "some", "large"])
    def test_a_value_is_decrypted_in_each_form_that_it_is_copied_in(self, value: bytes) -> None:
        sealed = self.encrypted(value)
        assert read_frame(sealed)
        printed = run("encrypt", "--local-keys", KEYS, stdin=value).out
        assert base64.b64decode(printed, validate=False).startswith(b"RTv1\0")
        standard = base64.b64encode(sealed)
        for form in (
            sealed,
            printed,
            standard,
            standard.rstrip(b"="),
            base64.urlsafe_b64encode(sealed),
            b'"' + standard + b'"\n',
            b"\n".join(standard[at : at + 76] for at in range(0, len(standard), 76)),
            sealed.hex().encode(),
            sealed.hex().upper().encode() + b"\n",
            b"0x" + sealed.hex().encode(),
            b"0X" + sealed.hex().upper().encode(),
            b"\\x" + sealed.hex().encode(),
            json.dumps(list(sealed)).encode(),
            json.dumps(list(sealed), separators=(",", ":")).encode(),
            # As in the columns raw and entry_json of sys_journal.
            b"0a036162637271" + b"8201" + varint(len(sealed)).hex().encode() + sealed.hex().encode() + b"7a017a",
            b"0a" + varint(len(sealed)).hex().encode() + sealed.hex().encode(),
            json.dumps({"Command": {"Input": {"headers": [], "payload": list(sealed), "name": ""}}}).encode(),
        ):
            done = run("decrypt", "--local-keys", KEYS, stdin=form)
            assert (done.status, done.out, done.err) == (0, value, "")

    def test_on_a_terminal_it_does_not_steer_it_and_without_standard_output_it_is_silent(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sealed = run("encrypt", "--local-keys", KEYS, "--raw", stdin="ü\x1b[2J".encode() + b"\xff").out
        Path("value").write_bytes(sealed)
        for stdout, printed in ((Terminal(), "ü\\x1b[2J\\xff\n"), (None, None)):
            with monkeypatch.context() as patched:
                patched.setattr(
                    sys, "argv", ["restate-identity", "encryption", "decrypt", "--local-keys", KEYS, "value"]
                )
                patched.setattr(sys, "stdout", stdout)
                assert run_command() == 0
            assert stdout is None or stdout.getvalue() == printed

    def test_without_standard_input_nothing_is_encrypted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["restate-identity", "encryption", "encrypt", "--local-keys", KEYS])
        monkeypatch.setattr(sys, "stdin", None)
        assert run_command() == 2

    def test_a_value_may_be_in_a_file(self) -> None:
        Path("value").write_bytes(self.encrypted())
        assert run("decrypt", "--local-keys", KEYS, "value").out == VALUE
        assert LOGS[-1] == {"level": logging.WARNING, "format": "restate-identity: %(message)s"}
        Path("plain").write_bytes(VALUE)
        assert run("encrypt", "--local-keys", KEYS, "plain").status == 0

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"my plaintext of a journal", "this is no encrypted value"),
            (b"", "this is no encrypted value"),
            (b"UlR2MQ", "not_encrypted"),
            (b"UlR2MQAX", "the value has 6 bytes"),
            (b"UlR2MQA!!", "not exactly one that is whole"),
            (b"5254763100123", "not exactly one that is whole"),
            (b"0a0f5254763100", "not exactly one that is whole"),
            (b"0a005254763100", "not exactly one that is whole"),
            (b"ff5254763100", "not exactly one that is whole"),
            (b"5254763100"[:8], "no encrypted value"),
            (b"[82,84,118,49,0],[82,84,118,49,0]", "not exactly one that is whole"),
            (b"[82,84,118,49,0,256]", "not exactly one that is whole"),
            (b"[82,84,118,49,+0]", "not exactly one that is whole"),
            (b"[82,84,118,49,0,", "not exactly one that is whole"),
            (b"[82,84,118,49,0", "not exactly one that is whole"),
            (b"RTv1\0\0\1kk", "truncated"),
            (b"RTv1\0\0\1k" + bytes(28), "unknown_data_key"),
        ],
    )
    def test_what_cannot_be_decrypted_is_an_error_in_one_line(self, content: bytes, problem: str) -> None:
        told = complaint(run("decrypt", "--local-keys", KEYS, stdin=content))
        assert problem in told
        assert "my plaintext" not in told

    def test_without_a_data_key_nothing_is_encrypted_and_one_line_says_why(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        logger = logging.getLogger("restate_identity")

        def without_key(_codec: JournalEncryption, _value: bytes) -> bytes:
            logger.error("cannot encrypt a value")
            raise EncryptionError(EncryptionReason.NO_DATA_KEY, "there is no data key yet")

        monkeypatch.setattr(JournalEncryption, "encode", without_key)
        assert "no_data_key: there is no" in complaint(run("encrypt", "--local-keys", KEYS))
        logger.error("after it")
        assert caplog.messages == ["after it"]

    def test_a_value_on_the_command_line_is_not_repeated(self) -> None:
        sealed = base64.b64encode(self.encrypted()).decode()
        told = complaint(run("decrypt", "--local-keys", KEYS, sealed))
        assert "cannot read" in told
        assert "never the value" in told
        assert sealed[:40] not in told

    def test_a_value_beyond_the_limit_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("restate_identity.cli.journal_values.MAX_SIZE", 40)
        for size in (40, 41):
            for name, file in (("standard input", "-"), ("value", "value"), ("#value", "#value")):
                Path(name).write_bytes(bytes(size))
                done = run("encrypt", "--local-keys", KEYS, file, stdin=bytes(size) if file == "-" else b"")
                assert done.status == 0 or f"{name} has more than 40 bytes" in complaint(done)
                assert (done.status == 0) is (size == 40)

    def test_exactly_one_provider_is_named(self) -> None:
        for options in ([], ["--local-keys", KEYS, "--kms-key", "alias/a"]):
            for command in ("encrypt", "decrypt", "serve"):
                assert "pass --local-keys or --kms-key, and not both" in complaint(run(command, *options))
        assert "cannot be read: No such file" in complaint(run("encrypt", "--local-keys", "none"))

    def test_a_kms_that_cannot_be_used_is_an_error_in_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", "none")
        told = complaint(run("encrypt", "--kms-key", "alias/a"))
        assert "AWS KMS cannot be used: NoRegionError; check --kms-key, and the region, profile and endpoint" in told
        assert "AWS KMS cannot be used: ValueError; check --kms-key" in complaint(run("encrypt", "--kms-key", ""))
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        # The first encrypts.
        assert vars(provider_with(None, ("alias/a", "b", "c")))["_keys"] == ("alias/a", "b", "c")
        monkeypatch.setitem(sys.modules, "boto3", None)
        assert "pip install 'restate-identity[encryption-aws]'" in complaint(run("encrypt", "--kms-key", "alias/a"))

    def test_a_server_says_what_is_wrong_before_it_asks_for_a_data_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(JournalEncryption, "create", None)
        serve = ("serve", "--local-keys", KEYS)
        assert "there is no token: pass --token-file, or set RESTATE_ENCRYPTION_TOKEN" in complaint(run(*serve))
        monkeypatch.setenv("RESTATE_ENCRYPTION_TOKEN", "too-short")
        assert "at least 16 characters" in complaint(run(*serve))
        assert "cannot read none" in complaint(run(*serve, "--token-file", "none"))
        Path("token").write_bytes(b"\xff")
        assert "it is not text" in complaint(run(*serve, "--token-file", "token"))
        Path("token").write_text("x" * 16 + "\n")
        assert "the origin is that of one page" in complaint(
            run(*serve, "--token-file", "token", "--allow-origin", "*")
        )
        assert "--listen nowhere: it is host:port" in complaint(
            run(*serve, "--token-file", "token", "--listen", "nowhere")
        )
        for size, problem in ((4097, "more than 4 KiB"), (4096, "cannot listen on unix:/no/such: ")):
            Path("token").write_bytes(b"x" * size)
            assert problem in complaint(run(*serve, "--token-file", "token", "--listen", "unix:/no/such"))
        warning, problem = run(*serve, "--token-file", "token", "--listen", "192.0.2.1:9002").err.splitlines()
        assert "can be reached from other machines" in warning
        assert LOGS[0]["level"] == logging.INFO
        assert "cannot listen on 192.0.2.1:9002: Cannot assign" in problem

    def test_a_server_needs_an_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "restate_identity.edge.listening", None)
        assert "edge.listening" in complaint(run("serve", "--local-keys", KEYS))


def test_the_server_answers_who_has_the_token_until_it_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "restate_identity", "encryption"]
    subprocess.run([*command, "keygen"], cwd=tmp_path, check=True, timeout=60, capture_output=True)
    (tmp_path / "token").write_text("a-token-of-16-characters\n")
    port, log = free_port(), tmp_path / "log"
    serve = [*command, "serve", "--local-keys", KEYS, "--token-file", "token", "--listen", f"127.0.0.1:{port}"]
    bearer = {"authorization": "Bearer a-token-of-16-characters"}
    with (
        running(serve, log=log, env=dict(os.environ), cwd=tmp_path, ready=lambda: accepts_connections(port)) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
    ):
        assert http.post("/encrypt", content=VALUE).status_code == 401
        sealed = http.post("/encrypt", content=VALUE, headers=bearer).content
        assert http.post("/decrypt", content=sealed, headers=bearer).content == VALUE
        http.close()
        process.terminate()
        assert process.wait(60) == 0
    assert "a-token" not in log.read_text()
