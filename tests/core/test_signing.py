"""`RequestSigner`, compared with tokens of real servers, and tried with keys in all forms."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from restate_identity import IdentityVerifier, InvalidKeyError
from restate_identity.signing import RequestSigner
from tests.support.base64url import from_base64url
from tests.support.forge import NOW, PATH
from tests.support.recorded_requests import RECORDING, REQUESTS, header

# The pair in the public sources of the Restate server, for its own tests.
SEED = bytes.fromhex("f7befb86533d00c5f35a2da6853f98e1870b6bce015a7d59b8826e5be7de75ce")
SERVERS_TEST_KEY = "publickeyv1_AfQwmwfgEZhrWpvv8N52SHpRtZqGGaFr4AZN6qtYWSiY"


def test_the_servers_own_test_pair_matches() -> None:
    signer = RequestSigner(Ed25519PrivateKey.from_private_bytes(SEED))
    assert str(signer.public_key) == SERVERS_TEST_KEY
    headers = signer.headers(PATH, now=NOW)
    assert IdentityVerifier([SERVERS_TEST_KEY], clock=lambda: NOW).verify(PATH, headers).audience == PATH


def test_the_signed_bytes_are_those_of_the_recorded_server() -> None:
    """The recording's private key is not known, so everything but the key and the signature is compared."""
    signer = RequestSigner.generate()
    for request in REQUESTS:
        recorded_header, recorded_payload, _ = str(header(request, "x-restate-jwt-v1")).split(".")
        claims = json.loads(from_base64url(recorded_payload))
        ours = signer.token(request["path"], subject=claims.get("sub"), now=claims["iat"])
        our_header, our_payload, _ = ours.split(".")
        assert our_payload == recorded_payload
        recorded_jose = from_base64url(recorded_header).decode()
        our_jose = from_base64url(our_header).decode()
        assert our_jose == recorded_jose.replace(RECORDING["identity_key"], str(signer.public_key))


def test_the_same_second_gives_the_same_token() -> None:
    signer = RequestSigner.generate()
    assert signer.token(PATH, now=NOW) == signer.token(PATH, now=NOW + 0.9)
    assert signer.token(PATH, now=NOW) != signer.token(PATH, now=NOW + 1)


def test_a_prefix_of_the_deployment_is_not_signed() -> None:
    signer = RequestSigner.generate()
    assert signer.token("/mounted" + PATH, now=NOW) == signer.token(PATH, now=NOW)


def test_the_window_is_as_wide_as_asked_for() -> None:
    signer = RequestSigner.generate()
    identity = IdentityVerifier([signer.public_key], clock=lambda: NOW).verify(
        PATH, signer.headers(PATH, subject="alice", now=NOW, leeway=5)
    )
    assert (identity.not_before, identity.issued_at, identity.expires_at) == (NOW - 5, NOW, NOW + 5)
    assert identity.subject == "alice"


@pytest.mark.parametrize("leeway", [0, -5, 1.5, True, None, "60"])
def test_a_window_that_no_server_signs_is_refused(leeway: Any) -> None:
    with pytest.raises(ValueError, match="leeway is a whole number of seconds, at least 1"):
        RequestSigner.generate().token(PATH, leeway=leeway)
    assert RequestSigner.generate().token(PATH, leeway=1)


def test_a_subject_that_is_no_text_in_utf8_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        RequestSigner.generate().token(PATH, subject="\ud800")


class TestPem:
    def test_what_is_written_is_read_back(self, tmp_path: Path) -> None:
        signer = RequestSigner.generate()
        file = tmp_path / "private.pem"
        file.write_bytes(signer.to_pem())
        for source in (signer.to_pem(), file, str(file)):
            assert RequestSigner.from_pem(source).token(PATH, now=NOW) == signer.token(PATH, now=NOW)

    def test_the_form_that_openssl_writes_is_read(self) -> None:
        # RFC 8410, 7: version 0, the algorithm 1.3.101.112, an octet string in an octet string.
        der = bytes.fromhex("302e020100300506032b657004220420") + SEED
        pem = b"-----BEGIN PRIVATE KEY-----\n" + base64.b64encode(der) + b"\n-----END PRIVATE KEY-----\n"
        assert str(RequestSigner.from_pem(pem).public_key) == SERVERS_TEST_KEY

    @pytest.mark.parametrize(
        ("pem", "problem"),
        [
            (b"", "has no line -----BEGIN PRIVATE KEY-----, so it is something else"),
            (b"import os\n", "has no line -----BEGIN PRIVATE KEY-----, so it is something else"),
            (RequestSigner.generate().to_pem() * 2, "exactly one PEM block"),
            (b"-----BEGIN PRIVATE KEY-----\ngarbage\n-----END PRIVATE KEY-----\n", "not a PKCS#8 private key"),
            (RequestSigner.generate().to_pem()[:60], "not a PKCS#8 private key"),
            (
                Ed25519PrivateKey.generate().private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
                ),
                "is encrypted",
            ),
            (
                Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
                "holds a public key, and signing needs the private key",
            ),
            (
                generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
                "another kind of key",
            ),
        ],
    )
    def test_anything_but_one_unencrypted_ed25519_key_is_refused(self, pem: bytes, problem: str) -> None:
        with pytest.raises(InvalidKeyError, match=problem):
            RequestSigner.from_pem(pem)

    def test_the_error_names_the_file_and_not_its_content(self, tmp_path: Path) -> None:
        file = tmp_path / "private.pem"
        file.write_bytes(RequestSigner.generate().to_pem().replace(b"PRIVATE KEY", b"SECRET"))
        with pytest.raises(InvalidKeyError, match=r"private\.pem") as error:
            RequestSigner.from_pem(file)
        assert "MC4C" not in str(error.value)

    def test_a_pem_as_text_is_refused_without_repeating_it(self) -> None:
        with pytest.raises(InvalidKeyError, match="pass it as bytes") as error:
            RequestSigner.from_pem(RequestSigner.generate().to_pem().decode())
        assert "MC4C" not in str(error.value)

    def test_a_file_may_have_64_kib(self, tmp_path: Path) -> None:
        file, pem = tmp_path / "private.pem", RequestSigner.generate().to_pem()
        file.write_bytes(pem.ljust(64 * 1024, b"\n"))
        assert RequestSigner.from_pem(file).to_pem() == pem
        file.write_bytes(pem.ljust(64 * 1024 + 1, b"\n"))
        with pytest.raises(OSError, match="more than 64 KiB"):
            RequestSigner.from_pem(file)

    def test_a_file_that_is_not_there_is_an_os_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            RequestSigner.from_pem(tmp_path / "none.pem")


def test_the_private_key_is_not_shown_by_repr() -> None:
    signer = RequestSigner.generate()
    assert repr(signer) == f"<RequestSigner {signer.public_key}>"
