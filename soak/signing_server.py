"""A real Restate server that signs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from restate_identity.signing import RequestSigner
from tests.support.restate_server import RestateServer, find_server


@contextmanager
def signing_server() -> Iterator[tuple[RestateServer, RequestSigner, Path]]:
    """Run a server; yield it, its signer, and a temporary folder."""
    signer = RequestSigner.generate()
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        folder = Path(temporary)
        pem = folder / "identity.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(signer.to_pem())
        with RestateServer(find_server(), identity_key=pem) as restate:
            yield restate, signer, folder
