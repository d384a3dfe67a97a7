"""The check of an Ed25519 signature: by the accelerator if it is installed, else by libsodium.

Both accept and refuse the same signatures, so this is a matter of speed alone. An accelerator that cannot be loaded, is
made for another version, or gives a wrong answer is an ImportError: the mistake ends the process at its start.
"""

from __future__ import annotations

from typing import Any

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

SIGNATURE_SIZE = 64
# The accelerator counts the changes of its interface, too.
INTERFACE = 1
ADVICE = "install it again with `pip install --force-reinstall 'restate-identity[accelerated]'`, or uninstall it"

# RFC 8032, 7.1, test 2.
KNOWN_KEY = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
KNOWN_MESSAGE = bytes.fromhex("72")
KNOWN_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


class LibsodiumKey:
    """A sound key, checked with by libsodium."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def verify(self, message: bytes, signature: bytes) -> bool:
        # crypto_sign_open takes signature and message as one string: a signature of another length would shift the
        # boundary between them.
        if len(signature) != SIGNATURE_SIZE:
            return False
        try:
            crypto_sign_open(signature + message, self._raw)
        except BadSignatureError:
            return False
        return True


def _accelerator() -> Any:
    """Return the module of the accelerator, None if it is not installed; raise ImportError if it does not work."""
    try:
        import restate_identity_accelerator as module
    except ModuleNotFoundError as error:
        if error.name == "restate_identity_accelerator":
            return None
        raise
    interface = getattr(module, "INTERFACE", None)
    if interface != INTERFACE:
        raise ImportError(
            f"the installed restate-identity-accelerator has interface {interface!r}, and this version of "
            f"restate-identity needs {INTERFACE}: {ADVICE}"
        )
    try:
        key = module.VerifyingKey(KNOWN_KEY)
        accepted, forged = key.verify(KNOWN_MESSAGE, KNOWN_SIGNATURE), key.verify(KNOWN_MESSAGE * 2, KNOWN_SIGNATURE)
    except Exception as error:
        raise ImportError(f"the installed restate-identity-accelerator does not work: {ADVICE}") from error
    if accepted is not True or forged is not False:
        raise ImportError(f"the installed restate-identity-accelerator gives wrong answers: {ADVICE}")
    return module


_module = _accelerator()
VerifyingKey: Any = LibsodiumKey if _module is None else _module.VerifyingKey
#: What checks signatures: ``libsodium``, or ``restate-identity-accelerator`` and its version.
ED25519_IMPLEMENTATION: str = "libsodium" if _module is None else f"restate-identity-accelerator {_module.__version__}"
