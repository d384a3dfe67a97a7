"""The settings of the client: for each its option, the environment variables that replace it, and what they hold.

The variables are those of Restate's own client, where that has one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from restate_identity.tunnel.options import Variables

VARIABLES = Variables(
    tunnel_name="RESTATE_TUNNEL_NAME",
    environment_id="RESTATE_ENVIRONMENT_ID",
    region="RESTATE_CLOUD_REGION",
    signing_public_key="RESTATE_SIGNING_PUBLIC_KEY",
    auth_token="RESTATE_AUTH_TOKEN",  # noqa: S106 (a name)
    auth_token_file="RESTATE_AUTH_TOKEN_FILE",  # noqa: S106
    servers_srv="RESTATE_TUNNEL_SERVERS_SRV",
    worker_id="RESTATE_TUNNEL_WORKER_ID",
)


class Setting(NamedTuple):
    """Where a setting comes from."""

    option: str | None
    variable: str
    alias: str | None = None
    """A second name of the variable."""

    @property
    def names(self) -> tuple[str, ...]:
        """Both names of the variable."""
        return (self.variable,) if self.alias is None else (self.variable, self.alias)

    @property
    def remedy(self) -> str:
        """What to do to set it."""
        return f"set {self.variable}" if self.option is None else f"pass {self.option}, or set {self.variable}"


SETTINGS: Mapping[str, Setting] = {
    "tunnel_name": Setting("--tunnel-name", VARIABLES.tunnel_name),
    "environment_id": Setting("--environment-id", VARIABLES.environment_id),
    "signing_public_key": Setting("--signing-public-key", VARIABLES.signing_public_key),
    "auth_token": Setting(None, VARIABLES.auth_token, "RESTATE_BEARER_TOKEN"),
    "auth_token_file": Setting("--auth-token-file", VARIABLES.auth_token_file, "RESTATE_BEARER_TOKEN_FILE"),
    "targets": Setting("--target", "RESTATE_TUNNEL_TARGETS"),
    "region": Setting("--region", VARIABLES.region),
    "servers": Setting("--server", "RESTATE_TUNNEL_SERVERS"),
    "servers_srv": Setting("--servers-srv", VARIABLES.servers_srv),
    "worker_id": Setting("--worker-id", VARIABLES.worker_id),
    "remote_proxy": Setting("--remote-proxy/--no-remote-proxy", "RESTATE_REMOTE_PROXY", "RESTATE_ENVIRONMENT_PROXY"),
    "ingress_uri": Setting("--ingress-uri", "RESTATE_INGRESS_URI"),
    "admin_uri": Setting("--admin-uri", "RESTATE_ADMIN_URI"),
    "ingress_serve_address": Setting("--ingress-serve-address", "RESTATE_INGRESS_SERVE_ADDRESS"),
    "admin_serve_address": Setting("--admin-serve-address", "RESTATE_ADMIN_SERVE_ADDRESS"),
    "health_serve_address": Setting("--health-serve-address", "RESTATE_HEALTH_SERVE_ADDRESS"),
    "proxy_hosts": Setting("--proxy-host", "RESTATE_PROXY_HOSTS"),
    "proxy_origins": Setting("--proxy-origin", "RESTATE_PROXY_ORIGINS"),
    "cleartext_hosts": Setting("--cleartext-host", "RESTATE_CLEARTEXT_HOSTS"),
    "connect_timeout": Setting("--connect-timeout", "RESTATE_CONNECT_TIMEOUT"),
    "shutdown_timeout": Setting("--shutdown-timeout", "RESTATE_SHUTDOWN_TIMEOUT"),
}
NAMES = frozenset(name for setting in SETTINGS.values() for name in setting.names)
# Variables of Restate's command line that resemble ours.
_OF_OTHERS = frozenset(("RESTATE_ADMIN_URL", "RESTATE_INGRESS_URL"))


class Choices:
    """What was chosen: an option, else a variable. An empty variable does not count as "not set".

    Args:
        given: The options that were passed, by the names in `SETTINGS`; what is None or empty was not.
        environ: All variables of the process.

    Raises:
        ValueError: A variable is empty, is set under two names, or looks like a typing error of one of ours.
        KeyError: There is no such setting.
    """

    def __init__(self, given: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self._options = {name: value for name, value in given.items() if value is not None and value != ()}
        self._variables: dict[str, tuple[str, str]] = {}
        for name in self._options:
            SETTINGS[name]
        for name, setting in SETTINGS.items():
            names = [variable for variable in setting.names if variable in environ]
            if len(names) > 1:
                raise ValueError(f"{names[0]} and {names[1]} are both set, and mean the same: unset one")
            for variable in names:
                text = environ[variable].strip()
                if not text:
                    raise ValueError(f"{variable} is set, but empty: unset it, or {setting.remedy}")
                self._variables[name] = (variable, text)
        _check_spelling(environ)

    def __contains__(self, name: str) -> bool:
        return name in self._options or name in self._variables

    def option(self, name: str) -> Any:
        """Return the option that was passed; None if it was not."""
        return self._options.get(name)

    def variable(self, name: str) -> str | None:
        """Return the variable that is set; None if none is."""
        return self._variables[name][1] if name in self._variables else None

    def origin(self, name: str) -> str:
        """Return the name of the option or variable that was chosen."""
        if name in self._options:
            return str(SETTINGS[name].option)
        return self._variables[name][0]

    def text(self, name: str, default: str) -> str:
        """Return what was chosen, or *default*."""
        option = self.option(name)
        return str(option) if option is not None else self.variable(name) or default

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list: of options, or the words of a variable, perhaps in brackets and quotation marks.

        Raises:
            ValueError: There is no word in the variable.
        """
        text = self.variable(name)
        if name in self._options or text is None:
            return tuple(self._options.get(name, ()))
        if text.startswith("[") and text.endswith("]") and not _is_address(text):
            text = text[1:-1]
        words = tuple(word.strip("\"'") for word in text.replace(",", " ").split())
        if not words or not all(words):
            raise ValueError(f"{self.origin(name)} is set, but lists nothing: unset it, or {SETTINGS[name].remedy}")
        return words


def _is_address(text: str) -> bool:
    """Return whether the brackets are those of an IPv6 address, ``[fd00::7]``."""
    return "://" not in text and "," not in text and text.count(":") > 1


def _check_spelling(environ: Iterable[str]) -> None:
    for name in environ:
        if name.startswith("RESTATE_") and name not in NAMES and name not in _OF_OTHERS:
            similar = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.92)
            if similar:
                raise ValueError(f"{name} is no setting of the tunnel client: do you mean {similar[0]}?")
