"""Fixtures for the tests of a guarded service. Needs the extra ``testing``.

pytest loads this module wherever the library is installed, so it imports only pytest until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from restate_identity.signing import RequestSigner

__all__ = ["restate_identity_keys", "restate_signer", "signed_headers"]


@pytest.fixture(scope="session")
def restate_signer() -> RequestSigner:
    """Sign as a Restate server would, with a new key for each test run.

    Raises:
        ImportError: The extra is not installed.
    """
    try:
        from restate_identity.signing import RequestSigner
    except ImportError as error:
        raise ImportError(
            "the fixtures of restate-identity need its extra: pip install 'restate-identity[testing]'", name=error.name
        ) from error
    return RequestSigner.generate()


@pytest.fixture(scope="session")
def restate_identity_keys(restate_signer: RequestSigner) -> list[str]:
    """Return the identity keys to configure, so that a service accepts requests signed by `restate_signer`."""
    return [str(restate_signer.public_key)]


@pytest.fixture(scope="session")
def signed_headers(restate_signer: RequestSigner) -> Callable[..., dict[str, str]]:
    """Return a function that makes the headers of a genuine request; arguments as for `RequestSigner.headers`."""
    return restate_signer.headers
