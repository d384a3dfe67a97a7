"""Complete and check the configuration: an argument, else an environment variable, else an error that names both.

Nothing here does I/O: the environment is an argument, and the token file is not opened.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from restate_identity._redaction import has_mark_of_secret, shown
from restate_identity.errors import InvalidKeyError
from restate_identity.keys import PublicKey
from restate_identity.tunnel.settings import TunnelSettings
from restate_identity.tunnel.targets import Target, is_record_name, is_region, parse_target
from restate_identity.tunnel.token import AuthToken, is_header_safe
from restate_identity.tunnel.ulids import new_ulid

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")

TUNNEL_NAME_VARIABLE = "RESTATE_INPROC_TUNNEL_NAME"
ENVIRONMENT_ID_VARIABLE = "RESTATE_INPROC_ENVIRONMENT_ID"
REGION_VARIABLE = "RESTATE_INPROC_CLOUD_REGION"
SIGNING_PUBLIC_KEY_VARIABLE = "RESTATE_INPROC_SIGNING_PUBLIC_KEY"
AUTH_TOKEN_VARIABLE = "RESTATE_AUTH_TOKEN"
AUTH_TOKEN_FILE_VARIABLE = "RESTATE_INPROC_AUTH_TOKEN_FILE"
SERVERS_SRV_VARIABLE = "RESTATE_TUNNEL_SERVERS_SRV"
WORKER_ID_VARIABLE = "RESTATE_TUNNEL_WORKER_ID"


class Variables(NamedTuple):
    """The names of the environment variables."""

    tunnel_name: str = TUNNEL_NAME_VARIABLE
    environment_id: str = ENVIRONMENT_ID_VARIABLE
    region: str = REGION_VARIABLE
    signing_public_key: str = SIGNING_PUBLIC_KEY_VARIABLE
    auth_token: str = AUTH_TOKEN_VARIABLE
    auth_token_file: str = AUTH_TOKEN_FILE_VARIABLE
    servers_srv: str = SERVERS_SRV_VARIABLE
    worker_id: str = WORKER_ID_VARIABLE


_NAME_FORM = "letters, digits, '.', '_' and '-'"
_is_tunnel_name = re.compile(r"[A-Za-z0-9._-]+").fullmatch


@dataclass(frozen=True)
class TunnelOptions:
    """A complete and checked configuration.

    Attributes:
        tunnel_name: The name of the deployment.
        environment_id: ``env_…``.
        signing_public_keys: The keys to trust; every forwarded request must be signed with one. At least one.
        auth_token: What the tunnel authenticates with.
        worker_id: The name of this process, for the server's diagnostics.
        servers: The servers to dial; empty if *servers_srv* names them.
        servers_srv: The SRV record with the servers; None if *servers* are given.
        tls: Whether to speak TLS with the servers of the SRV record.
        variables: The names of the variables, for messages.
    """

    tunnel_name: str
    environment_id: str
    signing_public_keys: tuple[PublicKey, ...]
    auth_token: AuthToken
    worker_id: str
    servers: tuple[Target, ...]
    servers_srv: str | None
    tls: bool
    variables: Variables


def tunnel_options(
    environ: Mapping[str, str],
    settings: TunnelSettings,
    names: Variables = Variables(),  # noqa: B008 (frozen)
) -> TunnelOptions:
    """Return the configuration in *settings*, completed from *environ*, whose variables have these *names*.

    Raises:
        ValueError: A setting is missing, contradictory or malformed. The message names the argument or the variable
            that has the setting, or both if none has it.
        InvalidKeyError: A signing key cannot be used. This is a ValueError too.
    """
    targets, record = _servers(environ, names, settings.servers, settings.servers_srv, settings.region)
    tls = bool(settings.tls)
    if not tls and (record is None or record.lower().rstrip(".").endswith(".restate.cloud")):
        # Anyone who listens on the network would get the auth token.
        raise ValueError("tls=False is only for a servers_srv of your own; for servers in cleartext, write http://...")
    name, environment_id = settings.tunnel_name, settings.environment_id
    return TunnelOptions(
        tunnel_name=_checked(environ, "tunnel_name", names.tunnel_name, name, _tunnel_name_fits, _NAME_FORM),
        environment_id=_checked(
            environ, "environment_id", names.environment_id, environment_id, _environment_id_fits, "env_..."
        ),
        signing_public_keys=_keys(environ, names, settings.signing_public_key),
        auth_token=_auth_token(environ, names, settings.auth_token, settings.auth_token_file),
        worker_id=_worker_id(environ, names, settings.worker_id),
        servers=targets,
        servers_srv=record,
        tls=tls,
        variables=names,
    )


def _tunnel_name_fits(text: str) -> bool:
    return _is_tunnel_name(text) is not None


def _environment_id_fits(text: str) -> bool:
    return text.startswith("env_") and len(text) > len("env_") and is_header_safe(text)


def _given(environ: Mapping[str, str], option: str, variable: str, value: str | None) -> tuple[str, str]:
    """Return the name of the argument or variable that has the setting, and its text."""
    if value is not None:
        if not isinstance(value, str):
            raise TypeError(f"{option} is text, not a {type(value).__name__}")
        origin, text = option, value
    elif variable in environ:
        origin, text = variable, environ[variable].strip()
    else:
        raise ValueError(f"the tunnel needs {option}: pass {option}=..., or set {variable}")
    if not text:
        raise ValueError(f"{origin} is set, but empty: pass {option}=..., or set {variable}")
    return origin, text


def _checked(
    environ: Mapping[str, str], option: str, variable: str, value: str | None, fits: Callable[[str], bool], form: str
) -> str:
    origin, text = _given(environ, option, variable, value)
    if not fits(text):
        raise ValueError(f"{origin} must be {form}, not {shown(text)!r}")
    if has_mark_of_secret(text):
        raise ValueError(f"{origin} looks like a secret, and would appear in the log")
    return text


def _keys(environ: Mapping[str, str], names: Variables, value: str | PublicKey | None) -> tuple[PublicKey, ...]:
    if isinstance(value, PublicKey):
        return (value,)
    origin, text = _given(environ, "signing_public_key", names.signing_public_key, value)
    words = text.replace(",", " ").split()
    try:
        keys = tuple(PublicKey.parse(word) for word in words)
    except InvalidKeyError as error:
        raise InvalidKeyError(f"{origin}: {error}") from None
    if not keys:
        raise ValueError(f"{origin} holds no key: pass signing_public_key=..., or set {names.signing_public_key}")
    return keys


def _auth_token(
    environ: Mapping[str, str], names: Variables, text: str | None, file: str | os.PathLike[str] | None
) -> AuthToken:
    if text is not None and file is not None:
        raise ValueError("pass auth_token or auth_token_file, not both")
    if text is None and file is None:
        if names.auth_token in environ:
            if names.auth_token_file in environ:
                logger.warning(
                    "tunnel: %s and %s are both set. The first is used, and the file is not read: unset one",
                    names.auth_token,
                    names.auth_token_file,
                )
            return _token_of(names.auth_token, environ[names.auth_token])
        file = environ.get(names.auth_token_file)
        if file is None:
            raise ValueError(
                "the tunnel needs the auth token: pass auth_token_file=... or auth_token=..., "
                f"or set {names.auth_token} or {names.auth_token_file}"
            )
    if text is not None:
        return _token_of("auth_token", text)
    assert file is not None
    if not os.fspath(file):
        raise ValueError(f"auth_token_file, or {names.auth_token_file}, must be the path of a file, but is empty")
    return AuthToken(file=file)


def _token_of(origin: str, text: str) -> AuthToken:
    if not isinstance(text, str):
        raise TypeError(f"{origin} is text, not a {type(text).__name__}")
    try:
        return AuthToken(text)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from None


def _servers(
    environ: Mapping[str, str],
    variables: Variables,
    servers: Iterable[str] | None,
    record: str | None,
    region: str | None,
) -> tuple[tuple[Target, ...], str | None]:
    if isinstance(servers, str):
        raise TypeError("servers is a list of strings, not a single string: pass servers=[...]")
    given = {"region": region, "servers": servers, "servers_srv": record}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"pass {' or '.join(names)}, but only one: each says which servers to dial")
    if servers is not None:
        targets = tuple(dict.fromkeys(parse_target(text) for text in servers))
        if not targets:
            raise ValueError("servers is empty: name a server, or omit it to use those of the region")
        return targets, None
    if record is not None or (variables.servers_srv in environ and region is None):
        form = "the name of an SRV record"
        record = _checked(environ, "servers_srv", variables.servers_srv, record, is_record_name, form)
    else:
        form = "DNS labels in lower case, such as eu"
        name = _checked(environ, "region", variables.region, region, is_region, form)
        if name.endswith("restate.cloud"):
            raise ValueError(f"the region is a name such as eu, not the host name {name} (region, {variables.region})")
        record = f"tunnel.{name}.restate.cloud"
    return (), record


def _worker_id(environ: Mapping[str, str], names: Variables, value: str | None) -> str:
    if value is not None or names.worker_id in environ:
        form = "printable ASCII without spaces"
        return _checked(environ, "worker_id", names.worker_id, value, is_header_safe, form)
    # Only people read it, so a missing or unusual HOSTNAME must not prevent the start.
    return re.sub(r"[^!-~]", "-", environ.get("HOSTNAME", "").strip()) or new_ulid()
