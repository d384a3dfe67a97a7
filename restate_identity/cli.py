"""The command `restate-identity`: make keys, look into tokens, judge and sign requests. Needs the extra ``cli``.

It only reads arguments and prints; what it tells comes from the other rooms. It never prints a private key, and a token
only where signing is what was asked for: not even one that was passed in the wrong place. Text from a token reaches the
terminal without its control characters.

Exit statuses: 0, yes or done; 1, no (refused, or findings); 2, could not be done; 141, nobody read the output.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import io
import json
import logging
import os
import shlex
import stat
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, unquote, urlsplit

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

import restate_identity
from restate_identity._redaction import may_be_secret, shown
from restate_identity._regular_file import shown_path
from restate_identity.errors import InvalidKeyError, Reason, VerificationError
from restate_identity.keyring import KEYS_FILE_VARIABLE, VARIABLES, verifier_from_environment
from restate_identity.keys import PublicKey
from restate_identity.probe import Finding, ProbeError, Report, probe, seconds_ahead_of
from restate_identity.signing import DEFAULT_LEEWAY, RequestSigner
from restate_identity.tokens import TokenAuthenticator
from restate_identity.verifier import IdentityVerifier

NAME = "restate-identity"
# Four times what a verifier reads of a token, and far more than a PEM has.
MAX_INPUT = 64 * 1024
_Command = TypeVar("_Command", bound=Callable[..., Any])
YES, NO, FAILED, PIPE_CLOSED = 0, 1, 2, 141


def run() -> int:
    """Run the command on the arguments of this process and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a narrow encoding is no reason to fail
    try:
        status: int | None = cli.main(prog_name=NAME, standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        return _complain(error)
    except click.Abort:
        return 130
    except (BrokenPipeError, _PipeClosed):
        return _pipe_closed()
    except OSError as error:
        return _complain(click.ClickException(f"cannot write the output: {error.strerror}"))
    return status or YES


def _complain(error: click.ClickException) -> int:
    message = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        if not message or isinstance(error, click.exceptions.NoArgsIsHelpError):
            message = error.ctx.get_help()
        else:
            message = f"{error.ctx.command_path}: {_redacted(message)} Try: {error.ctx.command_path} --help"
    else:
        message = f"{NAME}: {message}"
    try:
        click.echo(message, err=True)
    except OSError:
        return _pipe_closed()
    return FAILED


def _redacted(message: str) -> str:
    """Return the *message* of click, which quotes what it does not understand, without what may be a secret in it."""
    words = message.split()
    hidden = [place for place, word in enumerate(words) if may_be_secret(word)]
    if hidden:
        words[hidden[0] : hidden[-1] + 1] = ["(not repeated, as it may be a secret)"]
    return " ".join(words)


def _pipe_closed() -> int:
    # What is left in the buffers goes nowhere, instead of failing again while Python shuts down.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    return PIPE_CLOSED


class _PipeClosed(Exception):  # noqa: N818 (a state of the output, not an error of ours)
    """Hides a BrokenPipeError from click, which would exit with 1: here that means "refused"."""


class _Commands(click.Group):
    def make_context(self, *args: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*args, **options)
        except BrokenPipeError:
            raise _PipeClosed from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _PipeClosed from None


def _parsed(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[PublicKey, ...]:
    try:
        return tuple(PublicKey.parse(text) for text in texts)
    except InvalidKeyError as error:
        raise click.BadParameter(f"{error}.", ctx, param) from None


def _identity_key_option(*, required: bool) -> Callable[[_Command], _Command]:
    return click.option(
        "--identity-key",
        "identity_keys",
        callback=_parsed,
        multiple=True,
        required=required,
        metavar="publickeyv1_...",
        help="A key to trust; repeat it for several.",
    )


_private_key_option = click.option(
    "--key", "pem", required=True, metavar="private.pem", help="The private key, an unencrypted PKCS#8 PEM."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 yes or done, 1 refused or findings, 2 could not be done.",
)
@click.version_option(restate_identity.__version__, prog_name=NAME)
def cli() -> None:
    """Make identity keys for Restate, and see why a request is let in or refused.

    \b
    Examples:
      restate-identity keygen --out private.pem
      restate-identity inspect - < token.txt
      restate-identity probe http://127.0.0.1:9080 --key private.pem
    """


@cli.command()
@click.option("--out", default="private.pem", show_default=True, help="The file to make. It must not exist.")
def keygen(out: str) -> None:
    """Make a private key for the Restate server, and print the identity key for the service.

    The file is readable by its owner only. Tell the server of it with
    RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE, and the service of the key that is printed.

    \b
    Examples:
      restate-identity keygen
      restate-identity keygen --out secrets/private.pem > identity-key.txt
    """
    signer = RequestSigner.generate()
    _write_new(out, signer.to_pem())
    click.echo(f"wrote the private key to {shown_path(out)}; the service needs only this:", err=True)
    click.echo(signer.public_key)


@cli.command("public-key")
@click.argument("pem", metavar="private.pem")
def public_key(pem: str) -> None:
    """Print the identity key, publickeyv1_..., that belongs to a private key. "-" reads the PEM from standard input.

    \b
    Examples:
      restate-identity public-key private.pem
      openssl genpkey -algorithm ed25519 | restate-identity public-key -
    """
    click.echo(_signer(pem).public_key)


@cli.command()
@_identity_key_option(required=False)
@click.argument("token", metavar="TOKEN|-")
def inspect(token: str, identity_keys: tuple[PublicKey, ...]) -> int:
    """Show what a token says: JOSE header, claims, times. "-" reads it from standard input.

    Without --identity-key nothing of it is proven: anybody can write a token. With it, the exit status is 1 if none of
    the keys signed the token.

    \b
    Examples:
      restate-identity inspect - < token.txt
      restate-identity inspect --identity-key publickeyv1_... - < token.txt
    """
    text = _token(token)
    parts = text.split(".")
    if len(parts) != 3:
        _fail(f"a token has three parts joined by dots, this text has {len(parts)}: pass the value of x-restate-jwt-v1")
    header, claims = _members(parts[0], "JOSE header"), _members(parts[1], "payload")
    now = time.time()
    rows = [("JOSE header", ""), *((f"  {name}", _shown(value)) for name, value in header.items()), ("Claims", "")]
    for name, value in claims.items():
        told = f"{value}  {_when(value, now)}" if name in ("exp", "iat", "nbf") and type(value) is int else ""
        rows.append((f"  {name}", told or _shown(value)))
    width = max(len(_printable(name)) for name, _ in rows) + 2
    _show(*(f"{_printable(name):<{width}}{told}".rstrip() for name, told in rows))
    _show(f"Window       {_window(claims, now)}")
    if not identity_keys:
        _show(Text("Signature    not checked, so nothing above is proven: pass --identity-key", style="yellow"))
        return YES
    try:
        identity = TokenAuthenticator(identity_keys).authenticate(text)
    except VerificationError as error:
        _show(Text(f"Signature    REFUSED, {error}", style="red"))
        return NO
    _show(Text(f"Signature    holds: signed by {identity.key}", style="green"))
    return YES


@cli.command()
@_identity_key_option(required=True)
@click.option("--path", required=True, help="The decoded path of the request, without the query.")
@click.option("--scheme", default="v1", show_default=True, help="The value of x-restate-signature-scheme.")
@_json_option
@click.argument("token", metavar="TOKEN|-")
def verify(token: str, identity_keys: tuple[PublicKey, ...], path: str, scheme: str, as_json: bool) -> int:
    """Judge a token as a service would, now: exit status 0 if it is accepted, 1 if it is refused. "-" reads it from
    standard input.

    \b
    Example:
      restate-identity verify --identity-key publickeyv1_... --path /invoke/Greeter/greet - < token.txt
    """
    _require_path(path)
    try:
        identity = IdentityVerifier(identity_keys).verify_signature(path, scheme, _token(token))
    except VerificationError as error:
        if as_json:
            click.echo(json.dumps({"accepted": False, "reason": error.reason, "hint": error.hint}))
        else:
            _show(Text(f"refused: {error}", style="red"))
        return NO
    if as_json:
        click.echo(json.dumps({"accepted": True, "identity": identity._asdict()}))
        return YES
    of_subject = "" if identity.subject is None else f", object {_shown(identity.subject)}"
    left = identity.expires_at - time.time()
    _show(Text(f"accepted: {_shown(identity.audience)}{of_subject}, for {_words(left)} more", style="green"))
    return YES


@cli.command()
@_private_key_option
@click.option("--path", required=True, help="The decoded path of the request, without the query.")
@click.option("--subject", help="The key of the virtual object or workflow.")
@click.option("--curl", "url", metavar="URL", help="Print a curl command for the service at URL instead.")
def sign(pem: str, path: str, subject: str | None, url: str | None) -> None:
    """Print the two headers that Restate would send with a request for PATH, valid for 60 seconds.

    \b
    Examples:
      restate-identity sign --key private.pem --path /invoke/Greeter/greet
      restate-identity sign --key private.pem --path /discover --curl http://127.0.0.1:9080
      restate-identity sign --key private.pem --path /discover | curl -H @- http://127.0.0.1:9080/discover
    """
    _require_path(path)
    try:
        headers = _signer(pem).headers(path, subject=subject)
    except ValueError as error:
        _fail(f"--path and --subject must be text that has a UTF-8 form: {error}")
    if url is None:
        for name, value in headers.items():
            click.echo(f"{name}: {value}")
        return
    if not _path_of(url, "--curl is the URL of the service").endswith(path):
        url = url.rstrip("/") + quote(path)
    flags = (f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items())
    click.echo(" \\\n  ".join(["curl -i", *flags, shlex.quote(url)]))


@cli.command("probe")
@click.option("--key", "pem", metavar="private.pem", help="The private key that the endpoint trusts: more is tried.")
@click.option("--services", default="", metavar="A,B", help="Services to try; by default one that does not exist.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for an answer.")
@_json_option
@click.argument("url", metavar="URL")
def probe_command(url: str, pem: str | None, services: str, timeout: float, as_json: bool) -> int:
    """Audit a running endpoint, in any language: send it what a sound verifier refuses, and see.

    It is harmless: it asks for discovery and for a handler that does not exist, without a body, at most some 160 times.
    The exit status is 0 if the endpoint is sound, 1 if there are findings, 2 if it could not be probed.

    \b
    Examples:
      restate-identity probe http://127.0.0.1:9080
      restate-identity probe https://a.example/restate --key private.pem --services Greeter,Counter
    """
    signer = None if pem is None else _signer(pem)
    names = [name for name in services.replace(",", " ").split() if name]
    try:
        report = probe(url, signer=signer, services=names, timeout=timeout)
    except ProbeError as error:
        _fail(str(error))
    if as_json:
        click.echo(json.dumps(_report_as_json(report), indent=2))
    else:
        _show_report(report)
    return NO if report.findings else YES


@cli.command()
@click.option("--url", help="A URL of your Restate server: the clocks are compared.")
def doctor(url: str | None) -> int:
    """Read the environment as a service does: which keys are in force, from where, and is the clock right?

    The exit status is 1 if a service would not start, or if the clocks differ so much that it would refuse everything.

    \b
    Examples:
      restate-identity doctor
      RESTATE_IDENTITY_KEYS_FILE=/etc/restate/keys restate-identity doctor --url http://127.0.0.1:9070
    """
    if url is not None:
        _path_of(url, "--url is a URL of your Restate server")
    verdicts = [_diagnose_keys()]
    if url is not None:
        verdicts.append(_diagnose_clock(url))
    return max(verdicts)


def _diagnose_keys() -> int:
    present = [name for name in VARIABLES if name in os.environ]
    try:
        verifier = verifier_from_environment(os.environ)
    except (ValueError, ImportError) as error:
        _show(Text(f"Keys    PROBLEM: {_printable(str(error))}", style="red"))
        return NO
    origin = present[0]
    if origin == KEYS_FILE_VARIABLE:
        origin += f", the file {shown_path(os.environ[origin].strip())}"
    _show(f"Keys    from {origin}")
    _show(*(Text(f"        {key}  sound", style="green") for key in verifier.keys))
    if len(present) > 1:
        _show(Text(f"        also set, and not read: {', '.join(present[1:])}", style="yellow"))
    return YES


def _diagnose_clock(url: str) -> int:
    try:
        ahead = seconds_ahead_of(url)
    except ProbeError as error:
        _fail(str(error))
    if abs(ahead) < 2:  # a Date has whole seconds
        _show(Text("Clock   the same as the server's", style="green"))
        return YES
    difference = f"{_words(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the server's"
    if abs(ahead) < DEFAULT_LEEWAY:
        _show(Text(f"Clock   {difference}; tokens allow for {DEFAULT_LEEWAY} seconds", style="yellow"))
        return YES
    refused = Reason.EXPIRED if ahead > 0 else Reason.NOT_YET_VALID
    _show(Text(f"Clock   PROBLEM: {difference}: every request is refused as {refused}; synchronise them", style="red"))
    return NO


@cli.command("tunnel")
@click.option("--tunnel-name", metavar="NAME", help="The name of the deployment.  [RESTATE_INPROC_TUNNEL_NAME]")
@click.option("--environment-id", metavar="env_...", help="[RESTATE_INPROC_ENVIRONMENT_ID]")
@click.option("--region", help="Of Restate Cloud, for instance eu.  [RESTATE_INPROC_CLOUD_REGION]")
@click.option(
    "--signing-public-key",
    metavar="publickeyv1_...",
    help="What requests must be signed with.  [RESTATE_INPROC_SIGNING_PUBLIC_KEY]",
)
@click.option(
    "--auth-token-file",
    metavar="FILE",
    help="Holds the API key; read again at each dial.  [RESTATE_AUTH_TOKEN, RESTATE_INPROC_AUTH_TOKEN_FILE]",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="host:port|URL",
    help="Dial this one, not those of the region; repeat it for several. http:// is cleartext.",
)
@click.option("--servers-srv", metavar="NAME", help="Or those of this SRV record.  [RESTATE_TUNNEL_SERVERS_SRV]")
@click.option(
    "--worker-id",
    metavar="NAME",
    help="Of this process, for the server's diagnostics.  [RESTATE_TUNNEL_WORKER_ID, else made from HOSTNAME]",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="For what is in flight to finish, after a signal.",
)
@click.option("--health-port", type=click.IntRange(1, 65535), help="Answer GET /health there: 200 while it serves.")
@click.argument("app", metavar="MODULE:APP")
def tunnel_command(app: str, servers: tuple[str, ...], grace: float, **options: Any) -> None:
    """Serve the ASGI application APP of MODULE to Restate Cloud over connections that are dialled from here.

    No port is open to the world, and every request is verified. What is not given comes from the environment variable
    in brackets. The API key is never an argument, which other processes could read.

    It runs until SIGTERM or SIGINT; what is in flight then finishes, for up to --grace seconds. A second signal ends it
    at once. Exit status 2: the configuration is incomplete, or the server refuses it for good.

    \b
    Examples:
      restate-identity tunnel app:app --health-port 9090
      restate-identity tunnel app:app --tunnel-name greeter --environment-id env_... --region eu \\
        --signing-public-key publickeyv1_... --auth-token-file /run/secrets/restate/token
    """
    try:
        from restate_identity.tunnel import TunnelError, TunnelTimings, serve_tunnel
    except ImportError as error:
        _fail(str(error))
    application = _application(app)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(serve_tunnel(application, servers=servers or None, timings=TunnelTimings(grace=grace), **options))
    except (TunnelError, ValueError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot listen on --health-port {options['health_port']}: {error.strerror}")


# --- reading


def _application(name: str) -> Any:
    """Return the object ``module:attribute``, as uvicorn finds it: from the working directory, too."""
    module_name, _, attributes = name.partition(":")
    if not all(part.isidentifier() for dotted in (module_name, attributes) for part in dotted.split(".")):
        _fail(f"name the application as MODULE:APP, for instance app:app, and not {shown(name)!r}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        _fail(f"there is no module {shown(error.name)!r} here, nor among what is installed")
    for attribute in attributes.split("."):
        found = getattr(found, attribute, None)
    if not callable(found):
        _fail(f"{shown(module_name)} has no ASGI application {shown(attributes)!r}")
    return found


def _fail(message: str) -> NoReturn:
    raise click.ClickException(message)


def _require_path(path: str) -> None:
    if not path.startswith("/"):
        _fail("--path is the path of the request and begins with /, for instance /invoke/Greeter/greet")


def _path_of(url: str, what: str) -> str:
    """Return the decoded path of *url*, or fail and say *what* it is to be. It has no user and no password."""
    try:
        address = urlsplit(url)
        is_valid = address.scheme in ("http", "https") and address.username is None and address.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        _fail(f"{what} and begins with http:// or https://, without user and password")
    return unquote(address.path)


def _token(argument: str) -> str:
    text = _read_stdin().decode("ascii", "replace") if argument == "-" else argument
    if len(text) > MAX_INPUT:
        _fail(f"this is no token: it has more than {MAX_INPUT} characters, Restate's have a few hundred")
    text = text.strip()
    if not text:
        _fail("there is no token: pass the value of the header x-restate-jwt-v1")
    return text


def _read_stdin() -> bytes:
    if sys.stdin is None:
        _fail("there is no standard input to read from")
    try:
        return sys.stdin.buffer.read(MAX_INPUT + 1)
    except OSError as error:
        _fail(f"cannot read standard input: {error.strerror}")


def _signer(pem: str) -> RequestSigner:
    name = "standard input" if pem == "-" else shown_path(pem)
    try:
        content = _read_stdin() if pem == "-" else _read_private(pem)
        if len(content) > MAX_INPUT:
            _fail(f"{name} is no PEM file: it has more than {MAX_INPUT} bytes")
        return RequestSigner.from_pem(content)
    except OSError as error:
        _fail(f"cannot read {name}: {error.strerror}; pass the private key's PEM file")
    except InvalidKeyError as error:
        _fail(f"{name}: {error}; make a new one with: {NAME} keygen")


def _read_private(pem: str) -> bytes:
    with Path(pem).open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if os.name == "posix" and stat.S_ISREG(mode) and mode & 0o077:
            name = click.format_filename(pem)
            click.echo(f"{NAME}: warning: others can use {name}; run: chmod 600 {shlex.quote(name)}", err=True)
        return file.read(MAX_INPUT + 1)


def _write_new(out: str, content: bytes) -> None:
    name = shown_path(out)
    try:
        descriptor = os.open(out, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        _fail(f"{name} exists and is not overwritten: remove it, or name another file with --out")
    except OSError as error:
        _fail(f"cannot make {name}: {error.strerror}; name another file with --out")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        Path(out).unlink()
        _fail(f"cannot write {name}: {error.strerror}; nothing was kept")


def _members(part: str, what: str) -> dict[str, Any]:
    """Return the members of a part of a token, also of one that no verifier would take."""
    try:
        members = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        _fail(f"the token's {what} is not a JSON object in base64url: was the token cut while copying?")
    return members


# --- telling


def _show(*lines: str | Text | Table) -> None:
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(
        file=io.StringIO(),
        force_terminal=is_terminal,
        width=None if is_terminal else 200,  # programs read lines, and do not want them folded
        highlight=False,
        markup=False,
        emoji=False,
    )
    with console.capture() as capture:
        for line in lines:
            console.print(line, soft_wrap=True)
    click.echo("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()), nl=False, color=True)


def _show_report(report: Report) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("What is sent", "To", "Sound", "This one", ""):
        table.add_column(title, no_wrap=True)
    for result in report.results:
        to = "discovery" if result.path == "/discover" else result.path.split("/")[2]
        answer = "no answer" if result.status is None else str(result.status)
        verdict = Text(f"FINDING: {result.finding}", style="red") if result.finding else Text("ok", style="green")
        table.add_row(result.case.sends, to, "let in" if result.case.accepted else "401", answer, verdict)
    _show(f"{report.url} over {report.http_version}", "", table, "")
    for finding, meaning in FINDINGS.items():
        if any(result.finding is finding for result in report.findings):
            _show(Text(f"{finding}: {meaning}", style="red"))
    if report.left_out:
        left_out = ", ".join(case.name for case in report.left_out)
        _show(Text(f"Left out, for want of --key: {left_out}. An endpoint that is shut to all looks sound."))
    found = len(report.findings)
    _show(
        Text(
            f"{found} finding{'' if found == 1 else 's'} in {len(report.results)} requests",
            style="red" if found else "green",
        )
    )


FINDINGS = {
    Finding.OPEN: "somebody gets in who did not get a token for this request from your Restate",
    Finding.LENIENT: "only the owner of the key can have made it, but others read it differently",
    Finding.CLOSED: "your own requests are kept out: another key, another path, or clocks that differ",
    Finding.UNCLEAR: "neither let in nor refused: look into the log of the endpoint",
}


def _report_as_json(report: Report) -> dict[str, Any]:
    return {
        "url": report.url,
        "http_version": report.http_version,
        "sound": not report.findings,
        "results": [
            {
                "case": result.case.name,
                "path": result.path,
                "expected": "accepted" if result.case.accepted else "refused",
                "status": result.status,
                "finding": result.finding,
            }
            for result in report.results
        ],
        "left_out": [case.name for case in report.left_out],
    }


def _printable(text: str) -> str:
    """Return untrusted *text* without what could steer a terminal: control, bidirectional and half characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _shown(value: Any) -> str:
    return _printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _when(seconds: int, now: float) -> str:
    try:
        local = datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ")
    except (ValueError, OverflowError, OSError):
        return "not a date"
    distance = seconds - now
    return f"{local}, in {_words(distance)}" if distance > 0 else f"{local}, {_words(-distance)} ago"


def _words(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return "1 second" if int(seconds) == 1 else f"{int(seconds)} seconds"


def _window(claims: dict[str, Any], now: float) -> str:
    not_before, expires_at = claims.get("nbf"), claims.get("exp")
    if type(not_before) is not int or type(expires_at) is not int:
        return "none: nbf and exp are not both times in whole seconds"
    if now < not_before:
        return "not yet valid by this machine's clock"
    if now >= expires_at:
        return "expired by this machine's clock"
    return "open by this machine's clock"
