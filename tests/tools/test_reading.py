"""What the commands read, in this process: the limits of each input, and what is said of the others."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import click
import pytest

from restate_identity.cli.reading import path_of, read_signer, read_token, verifier_with
from restate_identity.keyring import VARIABLES
from restate_identity.signing import RequestSigner

SIGNER = RequestSigner.generate()
PEM = SIGNER.to_pem()


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Put bytes into standard input."""
    return lambda sent: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sent)))


def test_a_token_has_65_536_characters_at_most(send: Callable[[bytes], None]) -> None:
    send(b"A" * 65_536)
    assert read_token("-").token == read_token("A" * 65_536).token == "A" * 65_536
    send(b"A" * 65_537)
    for argument in ("-", "A" * 65_537):
        with pytest.raises(click.ClickException, match="this is not a token: it has more than 65536 characters"):
            read_token(argument)


@pytest.mark.parametrize("argument", ["!", "a", "--"])
def test_only_a_hyphen_stands_for_standard_input(send: Callable[[bytes], None], argument: str) -> None:
    send(b"not this")
    assert read_token(argument).token == argument


@pytest.mark.parametrize("name", ["token.txt", "!"])
def test_the_name_of_a_file_is_told_with_how_to_read_it(
    name: str, send: Callable[[bytes], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("a.b.c")
    with pytest.raises(
        click.ClickException, match="this is the name of a file, not a token: to read the file, write - < FILE"
    ):
        read_token(name)
    send(name.encode())
    assert read_token("-").token == name


def test_bytes_that_no_token_has_are_read_as_well_as_they_can_be(send: Callable[[bytes], None]) -> None:
    send(b"a\xffb\n")
    assert read_token("-").token == "a\ufffdb"


@pytest.mark.parametrize("argument", ["", " \n", "-"])
def test_no_token_is_told_with_what_to_pass(send: Callable[[bytes], None], argument: str) -> None:
    send(b"\n")
    with pytest.raises(click.ClickException, match=r"^there is no token: pass the value of the header x-restate"):
        read_token(argument)


def test_a_private_key_that_is_not_there_is_told_with_what_to_pass(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    told = f"^cannot read {missing}: No such file or directory; pass the private key's PEM file$"
    with pytest.raises(click.ClickException, match=told):
        read_signer(str(missing))


def test_standard_input_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "closed").open("wb") as written:
        # As a shell has it with `< folder`, an error of the operating system.
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.FileIO(written.fileno(), "rb", False))))
        with pytest.raises(click.ClickException, match="cannot read standard input: Bad file descriptor"):
            read_token("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(click.ClickException, match="there is no standard input to read from"):
        read_token("-")


@pytest.mark.parametrize("name", ["-", "!", "key.pem"])
def test_a_private_key_has_65_536_bytes_at_most(
    send: Callable[[bytes], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    def write(content: bytes) -> None:
        if name == "-":
            send(content)
        else:
            Path(name).touch(mode=0o600)
            Path(name).write_bytes(content)

    shown = "standard input" if name == "-" else name
    write(PEM.ljust(65_536, b"\n"))
    assert read_signer(name).public_key == SIGNER.public_key
    write(PEM.ljust(65_537, b"\n"))
    with pytest.raises(click.ClickException, match=f"^{shown} is not a PEM file: it has more than 65536 bytes$"):
        read_signer(name)
    write(b"something else")
    with pytest.raises(click.ClickException, match=f"^{shown}: .*; make a new one with: restate-identity keygen$"):
        read_signer(name)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("mode", "warns"), [(0o600, False), (0o700, False), (0o601, True), (0o610, True), (0o604, True), (0o640, True)]
)
def test_a_private_key_that_others_can_use_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, warns: bool
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(PEM)
    file.chmod(mode)
    read_signer(str(file))
    warning = f"restate-identity: warning: others can use {file}; run: chmod 600 {file}\n"
    assert capsys.readouterr().err == (warning if warns else "")


def test_the_permissions_of_a_pipe_are_not_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    writer = Thread(target=pipe.write_bytes, args=(PEM,), daemon=True)
    writer.start()
    assert read_signer(str(pipe)).public_key == SIGNER.public_key
    writer.join()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://a.test", ""),
        ("https://a.test:1/a%20b", "/a b"),
        ("http://a.test:65535/x?y", "/x"),
        ("http://a.test:0/", None),
        ("http://a.test:x/", None),
        ("http://[", None),
        ("http:///x", None),
        ("ftp://a.test/", None),
        ("a.test", None),
        ("http://user@a.test/", None),
        ("http://user:secret@a.test/", None),
    ],
)
def test_an_http_url_has_a_host_and_no_user(url: str, path: str | None) -> None:
    if path is not None:
        assert path_of(url, "this is a URL") == path
        return
    with pytest.raises(click.ClickException, match=r"^this is a URL and begins with http:// or https://, without user"):
        path_of(url, "this is a URL")


def test_keys_come_from_the_argument_or_else_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(click.ClickException, match=r"RESTATE_IDENTITY_KEYS or RESTATE_IDENTITY_KEYS_FILE$"):
        verifier_with([])
    other = RequestSigner.generate().public_key
    for name in VARIABLES:
        monkeypatch.setenv(name, "nonsense")
    assert verifier_with([other]).keys == (other,)
    with pytest.raises(click.ClickException, match=r"^RESTATE_IDENTITY_KEYS: identity key 1"):
        verifier_with([])
