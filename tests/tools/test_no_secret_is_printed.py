"""Put a secret in every place where a user can put one: no command may print or log it, or a recognisable part of it.

The tests find all commands, options and variables by themselves, so they also try new ones. Only a new one that is
required needs a value in `in_a_folder`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import boto3
import click
import httpx
import pytest
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from restate_identity import keyring
from restate_identity.asgi import Receive, Scope, Send
from restate_identity.cli.main import cli, run
from restate_identity.encryption import JournalEncryption, LocalKeys
from restate_identity.encryption.local_key_file import line_of
from restate_identity.signing import RequestSigner, SignedRequestAuth
from restate_identity.tunnel import options as tunnel_options
from restate_identity.tunnel.client.variables import SETTINGS
from restate_identity.tunnel.connect import open_tunnel
from restate_identity.tunnel.handshake import Credentials
from restate_identity.tunnel.settings import TunnelSettings
from restate_identity.tunnel.targets import Target
from restate_identity.tunnel.token import AuthToken
from tests.support.processes import ran
from tests.support.servers import in_a_thread
from tests.tunnel.cloud import Cloud, Line
from tests.tunnel.dialling import until
from tests.tunnel.tunnels import ONCE

# A piece of this length is recognised; shorter ones are in ordinary words.
PIECE = 12
# They are the same in each run: whether they look random is no matter of luck.
SEED = hashlib.sha256(b"a seed").digest()
SIGNER = RequestSigner(Ed25519PrivateKey.from_private_bytes(SEED))
PEM = SIGNER.to_pem().decode()
PASSWORD = "correct-horse-battery"
TUNNEL = {
    "RESTATE_INPROC_TUNNEL_NAME": "greeter",
    "RESTATE_INPROC_ENVIRONMENT_ID": "env_123",
    "RESTATE_INPROC_SIGNING_PUBLIC_KEY": str(RequestSigner.generate().public_key),
    "RESTATE_AUTH_TOKEN": "any-token",
}
CLIENT = {
    "RESTATE_TUNNEL_NAME": "greeter",
    "RESTATE_ENVIRONMENT_ID": "env_123",
    "RESTATE_SIGNING_PUBLIC_KEY": str(RequestSigner.generate().public_key),
    "RESTATE_AUTH_TOKEN": "any-token",
    "RESTATE_CLOUD_REGION": "eu",
    "RESTATE_TUNNEL_TARGETS": "http://greeter:9080",
    "RESTATE_INGRESS_SERVE_ADDRESS": "127.0.0.1:0",
    "RESTATE_ADMIN_SERVE_ADDRESS": "127.0.0.1:0",
    "RESTATE_HEALTH_SERVE_ADDRESS": "127.0.0.1:0",
}
AWS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_SESSION_TOKEN": "any",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ENDPOINT_URL_KMS": "http://127.0.0.1:1",
}
# Each has its names in the second place: none, one or several.
AWS_VARIABLES = set(AWS) | {
    name
    for _, names, *_ in BOTOCORE_DEFAUT_SESSION_VARIABLES.values()
    for name in ([names] if isinstance(names, str) else names or [])
}
# Each name of a variable that the package reads stands in a constant.
READ = {name for room in (keyring, tunnel_options) for name in vars(room).values() if str(name).startswith("RESTATE_")}
VARIABLES = sorted(READ | set(keyring.VARIABLES))


def _commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        words = f"{before}{name}"
        found |= _commands(command, f"{words} ") if isinstance(command, click.Group) else {words: command}
    return found


COMMANDS = _commands(cli)
# These serve until they are ended, so they get what makes them give up.
NEVER_DONE = {
    "tunnel": "(unauthorized)",
    "tunnel-client": "(unauthorized)",
    "edge": "cannot listen on 192.0.2.1:9001",
    "encryption serve": "cannot listen on 192.0.2.1:9001",
}


class Secret(NamedTuple):
    """A text to pass, and the part of it that must not appear."""

    text: str
    hidden: str

    def is_in(self, printed: str) -> bool:
        pieces = (self.hidden[start : start + PIECE] for start in range(len(self.hidden) - PIECE + 1))
        return any(piece in printed for piece in pieces)


def _itself(text: str) -> Secret:
    return Secret(text, text)


def _random(name: str, alphabet: str, length: int) -> str:
    number = int.from_bytes(hashlib.sha512(name.encode()).digest(), "big")
    return "".join(alphabet[number // len(alphabet) ** place % len(alphabet)] for place in range(length))


BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
SECRETS = {
    "a PEM": Secret(PEM, PEM.splitlines()[1]),
    "a PEM in one line": Secret(" ".join(PEM.splitlines()), PEM.splitlines()[1]),
    "the body of a PEM": _itself(PEM.splitlines()[1]),
    "a seed": _itself(base64.b64encode(SEED).decode()),
    "a seed in hex": _itself(SEED.hex()),
    "a token": _itself(SIGNER.sign_jws({"kid": SEED.hex(), "alg": "EdDSA"}, {"jti": SEED.hex()[::-1]})),
    "an API key": _itself(f"key_{_random('key', BASE58, 22)}.{_random('secret', BASE58, 44)}"),
    "a URL with a password": Secret(f"http://admin:{PASSWORD}@127.0.0.1:1/", PASSWORD),
    "a host with a password": Secret(f"admin:{PASSWORD}@127.0.0.1:1", PASSWORD),
    "a URL with a token for a user": Secret(f"https://{PASSWORD}@127.0.0.1:1/", PASSWORD),
    "a URL with a password for a port": Secret(f"http://admin:{PASSWORD}", PASSWORD),
}
# A random text without a mark counts as a name where it is a valid name, because names of pods are random too.
ANY_TEXT = ("the body of a PEM", "a seed", "a seed in hex")
TAKEN_FOR_NAMES = {
    ("--services", "a seed in hex"),
    *((place, kind) for place in ("RESTATE_TUNNEL_WORKER_ID", "--worker-id") for kind in ANY_TEXT),
}


class Refuses(BaseHTTPRequestHandler):
    """An endpoint that is shut to all."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with in_a_thread(ThreadingHTTPServer(("127.0.0.1", 0), Refuses)) as url:
        yield url


@contextmanager
def cloud_in_a_thread() -> Iterator[str]:
    """Serve a cloud that accepts no auth token, so that a tunnel ends; give its address."""

    async def refuse(line: Line) -> None:
        await line.handshake("unauthorized")

    address: Future[str] = Future()
    done = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with Cloud(refuse) as cloud:
            address.set_result(str(cloud.target))
            await done.wait()

    thread = Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield address.result(60)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(60)
        loop.close()


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    with cloud_in_a_thread() as address:
        yield address


class StopAfterTheFirstFailure(logging.Handler):
    """Ends a tunnel that would dial for ever, because its settings allow no connection."""

    def emit(self, record: logging.LogRecord) -> None:
        if "ended: " in (message := record.getMessage()) and "unauthorized" not in message:
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, cloud: str) -> Mapping[str, str]:
    """Make the files that the commands need, and return a valid value for each important or required parameter."""
    signer = RequestSigner.generate()
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("RESTATE_")]:
        monkeypatch.delenv(variable)
    pem = tmp_path / "private.pem"
    pem.touch(mode=0o600)
    pem.write_bytes(signer.to_pem())
    (tmp_path / "keys").write_text(f"{signer.public_key}\n")
    (tmp_path / "auth-token").write_text("any-token\n")
    (tmp_path / "bearer").write_text("any-token-of-the-codec-server\n")
    (tmp_path / "local-keys").touch(mode=0o600)
    (tmp_path / "local-keys").write_text(line_of("any", bytes(range(32))))
    (tmp_path / "value").write_bytes(
        asyncio.run(JournalEncryption.create(LocalKeys("local-keys"))).encode(b"any value")
    )
    (tmp_path / "served.py").write_text("async def app(scope, receive, send):\n    raise NotImplementedError\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return {
        "--out": "made.pem",
        "--local-keys": "local-keys",
        "file": "value",
        "--token-file": "bearer",
        "--identity-key": str(signer.public_key),
        "--path": "/discover",
        "token": signer.token("/discover"),
        "--key": "private.pem",
        "pem": "private.pem",
        "url": endpoint,
        "--url": endpoint,
        "--server": cloud,
        "app": "served:app",
        "--behind": "nginx",
        "--listen": "192.0.2.1:9001",
    }


def given(right: Mapping[str, str], command: str, *, without: str = "") -> list[str]:
    """Return arguments that make *command* do its work."""
    words = []
    for param in COMMANDS[command].params:
        name = param.opts[0]
        if name in right and name != without:
            words += [name, right[name]] if name.startswith("--") else [right[name]]
    return words


def ways_to_pass(param: click.Parameter, secret: str) -> Iterator[list[str]]:
    """Yield the words with which *secret* is passed as *param*."""
    if isinstance(param, click.Argument):
        yield [secret]
        yield ["--", secret]
        return
    for option in (*param.opts, *param.secondary_opts):
        yield [option, secret]
        yield [f"{option}={secret}"] if option.startswith("--") else [f"{option}{secret}"]


class Printed:
    """Runs the command in this process and collects all that it prints and logs."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._caplog = caplog
        caplog.set_level(logging.DEBUG)
        # For the asyncio of the fake cloud, in another thread, and of the tunnel: it is not of interest.
        logging.getLogger("asyncio").setLevel(logging.WARNING)
        stop = StopAfterTheFirstFailure()
        monkeypatch.setattr(logging.getLogger("restate_identity.tunnel"), "handlers", [stop])

    def by(self, words: Sequence[str], *, stdin: str = "", **variables: str) -> tuple[int, str]:
        with self._monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["restate-identity", *words])
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            for name, value in variables.items():
                patched.setenv(name, value)
            self._caplog.clear()
            status = run()
        out, err = self._capsys.readouterr()
        return status, f"{out}\n{err}\n{self._caplog.text}"

    def nothing_of(self, secret: Secret, words: Sequence[str], **given: Any) -> None:
        _, text = self.by(words, **given)
        assert "Traceback" not in text
        assert not secret.is_in(text), text
        # As it is before it is folded or escaped.
        assert not secret.is_in("".join(text.split()).replace("\\n", "")), text


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Printed:
    return Printed(monkeypatch, capsys, caplog)


def environment(command: str) -> dict[str, str]:
    return {"tunnel": TUNNEL, "tunnel-client": CLIENT}.get(command, {})


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_does_its_work_with_what_is_given_to_it_here(
    command: str, in_a_folder: Mapping[str, str], printed: Printed
) -> None:
    status, text = printed.by(
        [*command.split(), *given(in_a_folder, command)],
        **environment(command),
        RESTATE_IDENTITY_KEYS_FILE="keys",
    )
    assert "Try: " not in text
    assert status == (2 if command in NEVER_DONE else 0) or "finding" in text
    assert NEVER_DONE.get(command, "") in text


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_repeats_a_secret_that_is_passed_to_it(
    command: str, kind: str, in_a_folder: Mapping[str, str], printed: Printed
) -> None:
    secret = SECRETS[kind]
    for param in COMMANDS[command].params:
        if (param.opts[0], kind) in TAKEN_FOR_NAMES:
            continue
        rest = given(in_a_folder, command, without=param.opts[0])
        for words in ways_to_pass(param, secret.text):
            # "--" ends the options.
            order = [*words, *rest] if words[0] != "--" else [*rest, *words]
            printed.nothing_of(secret, [*command.split(), *order], **environment(command))
    complete = given(in_a_folder, command)
    for unknown in (secret.text, f"--{secret.text}", f"--unknown={secret.text}", f"-{secret.text}"):
        printed.nothing_of(secret, [*command.split(), *complete, unknown], **environment(command))
    printed.nothing_of(secret, [*command.split(), *complete, "--", secret.text], **environment(command))
    for from_stdin in ("token", "pem", "file"):
        if from_stdin in {param.opts[0] for param in COMMANDS[command].params}:
            words = [*command.split(), *given(in_a_folder, command, without=from_stdin), "-"]
            printed.nothing_of(secret, words, stdin=secret.text)


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_in_the_place_of_a_command_is_not_repeated(kind: str, printed: Printed) -> None:
    secret = SECRETS[kind]
    for words in ([secret.text], ["--", secret.text], [f"--{secret.text}"], [f"--version={secret.text}"]):
        printed.nothing_of(secret, words)


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("variable", VARIABLES)
def test_a_secret_in_the_place_of_another_variable_is_not_repeated(
    variable: str, kind: str, in_a_folder: Mapping[str, str], printed: Printed
) -> None:
    secret = SECRETS[kind]
    printed.nothing_of(secret, ["doctor"], **{variable: secret.text})
    if (variable, kind) in TAKEN_FOR_NAMES:
        return
    variables = {**TUNNEL, variable: secret.text}
    if variable == "RESTATE_INPROC_AUTH_TOKEN_FILE":
        del variables["RESTATE_AUTH_TOKEN"]
    words = given(in_a_folder, "tunnel")
    printed.nothing_of(secret, ["tunnel", *words], **variables)
    if variable in ("RESTATE_INPROC_CLOUD_REGION", "RESTATE_TUNNEL_SERVERS_SRV"):
        printed.nothing_of(secret, ["tunnel", "served:app"], **variables)


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_in_the_place_of_a_variable_of_the_tunnel_client_is_not_repeated(
    kind: str, in_a_folder: Mapping[str, str], printed: Printed
) -> None:
    for setting in SETTINGS.values():
        for variable in setting.names:
            if (variable, kind) in TAKEN_FOR_NAMES:
                continue
            variables = {name: value for name, value in CLIENT.items() if name not in setting.names}
            if variable.endswith("_FILE"):
                del variables["RESTATE_AUTH_TOKEN"]
            words = given(in_a_folder, "tunnel-client")
            printed.nothing_of(SECRETS[kind], ["tunnel-client", *words], **variables, **{variable: SECRETS[kind].text})


@pytest.mark.usefixtures("in_a_folder")
def test_a_secret_in_the_place_of_a_variable_of_aws_is_not_repeated(
    printed: Printed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = SECRETS["a host with a password"]
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    caplog.set_level(logging.DEBUG, "botocore")
    # Nothing answers at the endpoint, so waiting for it has no use.
    impatient = partial(JournalEncryption.create, wait_limit=0.1)
    monkeypatch.setattr(JournalEncryption, "create", staticmethod(impatient))
    words = ["encryption", "encrypt", "--kms-key", "alias/any", "value"]
    for variable in sorted(AWS_VARIABLES):
        # boto3 keeps what it has read.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        printed.nothing_of(secret, words, **{**AWS, variable: secret.text})


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "form", ["{}", "---\n{}\n", "kind: {}\n", '{{"kind": "{}"}}', "---\n- {}\n", "publickeyv1_ {}"]
)
def test_a_secret_in_a_file_that_holds_something_else_is_not_repeated(
    form: str, kind: str, in_a_folder: Mapping[str, str], printed: Printed
) -> None:
    secret = SECRETS[kind]
    content = form.format(secret.text)
    for name in ("keys", "private.pem", "auth-token"):
        Path(name).write_text(content)
    printed.nothing_of(secret, ["doctor"], RESTATE_IDENTITY_KEYS_FILE="keys")
    printed.nothing_of(secret, ["public-key", "private.pem"])
    del (variables := dict(TUNNEL))["RESTATE_AUTH_TOKEN"]
    words = [*given(in_a_folder, "tunnel"), "--auth-token-file", "auth-token"]
    printed.nothing_of(secret, ["tunnel", *words], **variables)


async def _in_the_name_of_a_trailer(line: Line, token: str) -> None:
    exchange = await line.opened_handshake()
    exchange.trailers([*line.outcome(), *([(f"tunnel-{token.lower()}", "")] * 2)])


ECHOES: dict[str, Callable[[Line, str], Awaitable[object]]] = {
    "the status": lambda line, token: line.handshake(token),
    "a word of the status": lambda line, token: line.handshake(f"unauthorized {token}"),
    "the name": lambda line, token: line.handshake(tunnel_name=token),
    "the proxy URL": lambda line, token: line.handshake(proxy_url=f"https://tunnel.test:9080/{token}"),
    "the user of the proxy URL": lambda line, token: line.handshake(proxy_url=f"https://{token}@tunnel.test:9080/"),
    "no URL": lambda line, token: line.handshake(proxy_url=f"tunnel.test/{token[:-1]}"),
    "the tunnel URL": lambda line, token: line.handshake(tunnel_url=f"https://tunnel.test/{token}"),
    "another trailer": lambda line, token: line.handshake(tunnel_hint=token),
    "the name of a trailer": _in_the_name_of_a_trailer,
}


@pytest.mark.parametrize("where", ECHOES)
@pytest.mark.parametrize("kind", ["an API key", "a seed in hex"])
def test_an_auth_token_that_the_tunnel_server_sends_back_is_not_logged(
    where: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = SECRETS[kind]

    async def test() -> None:
        async def echo(line: Line) -> None:
            await ECHOES[where](line, secret.text)

        options = tunnel_options.tunnel_options(
            {**TUNNEL, "RESTATE_AUTH_TOKEN": secret.text}, TunnelSettings(servers=["http://a:1"])
        )
        async with (
            Cloud(echo) as cloud,
            open_tunnel(never, replace(options, servers=(Target(*cloud.target),)), timings=ONCE),
        ):
            said = ("ended: ", "the deployment to register", "proxy URL")
            async with open_tunnel(never, options, timings=ONCE):
                await until(lambda: any(text in caplog.text for text in said))

    asyncio.run(asyncio.wait_for(test(), 60))
    assert not secret.is_in(caplog.text), caplog.text
    assert secret.text.lower() not in caplog.text


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError


def test_no_representation_shows_a_secret(tmp_path: Path) -> None:
    token = SECRETS["an API key"]
    options = tunnel_options.tunnel_options(
        {**TUNNEL, "RESTATE_AUTH_TOKEN": token.text}, TunnelSettings(servers=["http://a:1"])
    )
    request = httpx.Request("GET", "http://127.0.0.1/discover")
    things: tuple[object, ...] = (
        AuthToken(token.text),
        AuthToken(file=token.text),
        options,
        Credentials("env_123", "greeter", "worker-1", lambda: token.text),
        Credentials("env_123", "greeter", "worker-1", AuthToken(token.text).read),
        replace(options, auth_token=AuthToken(file=token.text)),
    )
    for thing in things:
        assert not token.is_in(repr(thing) + str(thing)), thing
    # Its name is a secret, as if the key had been passed in the place of the file.
    named = tmp_path / SECRETS["a seed in hex"].text
    named.write_text(f"{SIGNER.public_key}\n")
    for thing in (SIGNER, SignedRequestAuth(SIGNER), keyring.KeyFile(named), keyring.KeyFile(named).verifier()):
        for secret in (SECRETS["the body of a PEM"], SECRETS["a seed in hex"]):
            assert not secret.is_in(repr(thing) + str(thing)), thing
    signature = SIGNER.token("/discover").rpartition(".")[2]
    assert signature not in repr(SignedRequestAuth(SIGNER, now=lambda: 0)(request).headers)
    assert SignedRequestAuth(SIGNER)(request).headers["x-restate-jwt-v1"].count(".") == 2


@pytest.mark.parametrize("proxy", ["http://user:sEc/retPass@h:80", "foo://user:sEc@h:80", "socks5://user:sEc@h:1"])
@pytest.mark.parametrize("command", [["doctor", "--url"], ["probe"]], ids=["doctor", "probe"])
def test_a_proxy_that_cannot_be_used_is_not_repeated(command: list[str], proxy: str) -> None:
    env = {**os.environ, "HTTP_PROXY": proxy, "ALL_PROXY": proxy}
    done = ran(sys.executable, "-m", "restate_identity", *command, "http://example.invalid", env=env)
    assert done.returncode == 2
    assert "sEc" not in done.stdout + done.stderr
    assert "variables for proxies" in done.stderr
    assert "Traceback" not in done.stderr
