"""Choose what checks Ed25519 signatures: the accelerator if it is installed, else libsodium.

In Pyodide without PyNaCl, Node's crypto module does it. All of them accept and refuse the same signatures, so the
choice changes the speed alone. What is installed decides, and it is tried with known signatures: an accelerator that
cannot be loaded, is made for another version, or gives a wrong answer is an ImportError, which ends the process at its
start.
"""

from __future__ import annotations

import sys
from typing import Any

# The accelerator counts the changes of its interface, too.
INTERFACE = 1
ADVICE = "install it again with `pip install --force-reinstall 'restate-identity[accelerated]'`, or uninstall it"

# The key and the first signature: RFC 8032, 7.1, test 2. The others were made with the private key that is printed
# there, and each is accepted by an implementation that leaves one rule out.
KNOWN_KEY = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
KNOWN_MESSAGE = bytes.fromhex("72")
KNOWN_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
WITH_S_NOT_REDUCED = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "f52db7415978abc61b2c2eb6aeebfca0387b2eaeb4302aeeb00d291612bb0c10"
)
WITH_NEUTRAL_R = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000"
    "675d054595fa17cb6a44e3ada6ca385e55667e41a63fdab0ac22d10000354002"
)
WITH_TORSION_IN_R = bytes.fromhex(
    "98519eadf35b995233b51b5cd23e9cc5a28b639b5a4af0ec903cb960d81b7819"
    "4ef5a0ba81641a15df29eff27aa679daff0db06a08e08eaecacbfcd9650b0a0c"
)
KNOWN_VERDICTS = [
    (KNOWN_MESSAGE, KNOWN_SIGNATURE, True),
    (KNOWN_MESSAGE * 2, KNOWN_SIGNATURE, False),
    (KNOWN_MESSAGE, KNOWN_SIGNATURE[:63], False),
    (KNOWN_MESSAGE, WITH_S_NOT_REDUCED, False),
    (KNOWN_MESSAGE, WITH_NEUTRAL_R, False),
    (KNOWN_MESSAGE, WITH_TORSION_IN_R, False),
]


def _always_available() -> Any:
    """Return the module that checks keys, and signatures if there is no accelerator."""
    try:
        from restate_identity import _libsodium
    except ModuleNotFoundError as error:
        if error.name != "nacl" or sys.platform != "emscripten":
            raise
    else:
        return _libsodium
    from restate_identity import _node_crypto

    _try(_node_crypto, "Node's crypto module", "it needs Node 20.16, 22.3 or later; or install PyNaCl")
    return _node_crypto


def _accelerator() -> Any:
    """Return the module of the accelerator, None if it is not installed; raise ImportError if it does not work."""
    try:
        import restate_identity_accelerator as module
    except ModuleNotFoundError as error:
        if error.name == "restate_identity_accelerator":
            return None
        raise ImportError(f"a part of restate-identity-accelerator is missing: {error}; {ADVICE}") from error
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        raise ImportError(f"the installed restate-identity-accelerator cannot be loaded: {error}; {ADVICE}") from error
    interface = getattr(module, "INTERFACE", None)
    if interface != INTERFACE or not hasattr(module, "__version__"):
        raise ImportError(
            f"the installed restate-identity-accelerator has interface {interface!r}, and this version of "
            f"restate-identity needs {INTERFACE}: {ADVICE}"
        )
    _try(module, "the installed restate-identity-accelerator", ADVICE)
    return module


def _try(module: Any, name: str, advice: str) -> None:
    """Check known signatures; raise ImportError if a verdict is missing or wrong."""
    try:
        key = module.VerifyingKey(KNOWN_KEY)
        verdicts = [key.verify(message, signature) for message, signature, _ in KNOWN_VERDICTS]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise ImportError(f"{name} does not work: {advice}") from error
    if any(found is not expected for found, (_, _, expected) in zip(verdicts, KNOWN_VERDICTS, strict=True)):
        raise ImportError(f"{name} gives wrong answers: {advice}")


_without_accelerator = _always_available()
_module = _accelerator()
is_sound: Any = _without_accelerator.is_sound
VerifyingKey: Any = _without_accelerator.VerifyingKey if _module is None else _module.VerifyingKey
ED25519_IMPLEMENTATION: str = (
    _without_accelerator.NAME if _module is None else f"restate-identity-accelerator {_module.__version__}"
)
"""What checks signatures: `libsodium`, the accelerator with its version, or in Pyodide `Node's crypto`."""
accelerator_file: str | None = getattr(_module, "__file__", None)
