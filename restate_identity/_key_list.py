"""Read identity keys from a text: one per line, or Kubernetes manifests in YAML or JSON. It reads no files itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from restate_identity._redaction import shown
from restate_identity.errors import InvalidKeyError
from restate_identity.keys import PublicKey

if TYPE_CHECKING:
    from yaml import MappingNode, SafeLoader

# Merge keys can copy members. Without them, a file of 64 KiB cannot hold this many.
MAX_MEMBERS = 64 * 1024
MANIFEST_KIND = "RestateCloudEnvironment"
_MANIFEST = re.compile(
    r"""^(?:[ \t]*\{|---(?:\s|$)|["']?(?:apiVersion|kind|metadata|spec)["']?[ \t]*:)""", re.MULTILINE
)


def keys_in(text: str) -> tuple[PublicKey, ...]:
    """Return the keys in *text* without repetitions; an empty tuple if there are none.

    Raises:
        InvalidKeyError: A line or a manifest cannot be used. The message says which.
        ImportError: *text* is YAML, and PyYAML is missing. The message names the extra to install.
    """
    keys = _keys_in_manifests(text) if _MANIFEST.search(text) else _keys_in_lines(text)
    return tuple(dict.fromkeys(keys))


def _keys_in_lines(text: str) -> Iterable[PublicKey]:
    for number, line in enumerate(text.splitlines(), start=1):
        key = line.partition("#")[0].strip()
        if not key:
            continue
        try:
            yield PublicKey.parse(key)
        except InvalidKeyError as error:
            raise InvalidKeyError(f"line {number}: {error}") from None


def _keys_in_manifests(text: str) -> Iterable[PublicKey]:
    documents = [document for document in _documents(text) if document is not None]
    manifests = [
        document for document in documents if isinstance(document, dict) and document.get("kind") == MANIFEST_KIND
    ]
    if not manifests:
        kinds = ", ".join(map(_kind_of, documents)) or "none"
        raise InvalidKeyError(f"it has no manifest of the kind {MANIFEST_KIND} (its kinds: {kinds})")
    for manifest in manifests:
        spec = manifest.get("spec")
        key = spec.get("signingPublicKey") if isinstance(spec, dict) else None
        if key is None:
            raise InvalidKeyError(f"a manifest of the kind {MANIFEST_KIND} has no spec.signingPublicKey")
        try:
            yield PublicKey.parse(key)
        except InvalidKeyError as error:
            raise InvalidKeyError(f"spec.signingPublicKey: {error}") from None


def _kind_of(document: Any) -> str:
    kind = document.get("kind") if isinstance(document, dict) else None
    # A document that is a single text may be a token.
    return shown(kind) if isinstance(kind, str) else f"a value of type {type(document).__name__}"


def _documents(text: str) -> list[Any]:
    # The parsers' errors quote the text, which may contain a Secret beside the manifest: repeat only the line number.
    if text.lstrip().startswith("{"):
        try:
            return [json.loads(text)]
        except json.JSONDecodeError as error:
            raise InvalidKeyError(f"it is not JSON from line {error.lineno} on") from None
        except (ValueError, RecursionError):
            raise InvalidKeyError("it is not JSON") from None
    try:
        import yaml
    except ImportError as error:
        raise ImportError(
            "a manifest in YAML needs PyYAML: pip install 'restate-identity[kubernetes]'", name=error.name
        ) from error
    try:
        return list(yaml.load_all(text, _bounded(yaml.SafeLoader)))
    except InvalidKeyError:
        raise
    # A scalar that does not fit its tag makes PyYAML raise ValueError, KeyError, IndexError, AttributeError and others.
    except Exception as error:  # noqa: BLE001
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f" from line {mark.line + 1} on"
        raise InvalidKeyError(f"it is not YAML{place}") from None


def _bounded(loader: type[SafeLoader]) -> type[SafeLoader]:
    """Return *loader* with a limit on members, because each merge key, ``<<``, can copy all members before it."""

    class Bounded(loader):  # type: ignore[valid-type, misc]
        members = 0

        def flatten_mapping(self, node: MappingNode) -> None:
            super().flatten_mapping(node)
            self.members += len(node.value)
            if self.members > MAX_MEMBERS:
                raise InvalidKeyError("its merge keys, <<, make too many members")

    return Bounded
