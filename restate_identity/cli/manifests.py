"""Kubernetes manifests with a new key: a Secret for the Restate server, and a ConfigMap for the services."""

from __future__ import annotations

import re

from restate_identity.signing import RequestSigner

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LONGEST_NAME = 253


def is_object_name(text: str) -> bool:
    """Return whether *text* can be the name of a Secret: one or more DNS labels in lower case, separated by dots."""
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def manifests(name: str, signer: RequestSigner) -> str:
    """Return a Secret with the private key, and a ConfigMap with the key file of its public key, both called *name*."""
    pem = "".join(f"    {line}\n" for line in signer.to_pem().decode().splitlines())
    # Quoted, because a name may look like a number.
    return f"""\
apiVersion: v1
kind: Secret
metadata:
  name: "{name}"
stringData:
  private.pem: |
{pem}---
apiVersion: v1
kind: ConfigMap
metadata:
  name: "{name}"
data:
  keys: |
    {signer.public_key}
"""
