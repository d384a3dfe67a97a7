"""The group of all commands, and the entry point: it sets up the streams and returns the exit status."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

import restate_identity
from restate_identity.cli.complaints import NAME, as_line
from restate_identity.cli.doctor import doctor
from restate_identity.cli.edge import edge_command
from restate_identity.cli.encryption import encryption
from restate_identity.cli.exit_status import FAILED, INTERRUPTED, PIPE_CLOSED, YES
from restate_identity.cli.export import export
from restate_identity.cli.inspect import inspect
from restate_identity.cli.keys import keygen, public_key
from restate_identity.cli.probe import probe_command
from restate_identity.cli.sign import sign
from restate_identity.cli.tunnel import tunnel_command
from restate_identity.cli.tunnel_client import tunnel_client_command
from restate_identity.cli.verify import verify


def run() -> int:
    """Run the command on the arguments of this process and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # do not fail if the encoding lacks a character
    try:
        status: int | None = cli.main(prog_name=NAME, standalone_mode=False)
    except click.ClickException as error:
        return _complain(error)
    except click.Abort:
        return INTERRUPTED
    except (BrokenPipeError, _PipeClosed):
        return _pipe_closed()
    except OSError as error:
        _discard_output(1)
        return _complain(click.ClickException(f"cannot write the output: {error.strerror}"))
    return status or YES


def _complain(error: click.ClickException) -> int:
    try:
        click.echo(as_line(error), err=True)
    except OSError:
        return _pipe_closed()
    return FAILED


def _pipe_closed() -> int:
    _discard_output(1, 2)
    return PIPE_CLOSED


def _discard_output(*descriptors: int) -> None:
    """Discard what is left in the buffers; flushing it while Python shuts down would fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)


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


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 yes or done, 1 refused or findings, 2 error.",
)
@click.version_option(restate_identity.__version__, "-V", "--version", prog_name=NAME)
def cli() -> None:
    """Make identity keys for Restate, and find out why a request is accepted or refused.

    \b
    Examples:
      restate-identity keygen --out private.pem
      restate-identity inspect - < token.txt
      restate-identity probe http://127.0.0.1:9080 --key private.pem
    """


for _command in (
    *(keygen, public_key, inspect, verify, sign, probe_command, doctor),
    *(tunnel_command, tunnel_client_command, edge_command, export, encryption),
):
    cli.add_command(_command)
