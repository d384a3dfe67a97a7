"""Cases that differ in the token itself: its encoding, its JOSE header, its claims, its signature."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Any

from tests.support.base64url import base64url
from tests.vectors.ed25519 import BASE, NEUTRAL, ORDER_2, ORDER_4, ORDER_8, L, P, challenge, secret_scalar, sign
from tests.vectors.forge import (
    FOREIGN,
    PATH,
    Case,
    Forge,
    compact_json,
    restate_form,
    with_token,
)

MALFORMED = "malformed_token"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def nested_objects(depth: int) -> str:
    return '{"":' * depth + "1" + "}" * depth


def encoding(forge: Forge) -> Iterator[Case]:
    """All of these are signed over the bytes as they are sent, so that only the encoding is wrong."""

    def case(comment: str, token: str, reason: str | None = MALFORMED) -> Case:
        return Case(comment, with_token(token), reason)

    header, payload, signature = forge.genuine().split(".")
    yield case("one part", header)
    yield case("two parts", f"{header}.{payload}")
    yield case("two parts and a dot", f"{header}.{payload}.", "bad_signature")
    yield case("four parts", f"{header}.{payload}.{signature}.")
    yield case("a leading dot", f".{header}.{payload}.{signature}")
    yield case("five parts, as an encrypted token has", f"{header}..{payload}..{signature}")
    yield case("an empty header", f".{payload}.{signature}")
    yield case("only dots", "..")
    yield case("only a dot", ".")
    yield case(
        "JWS in JSON form",
        compact_json({"protected": header, "payload": payload, "signature": signature}).decode().replace(",", ";"),
    )
    sizes = {}
    for length in range(3):
        part = base64url(compact_json(forge.claims(sub="x" * length)))
        sizes[len(part) % 4] = (part, "x" * length)
    for spare, padding in ((2, "=="), (3, "=")):
        part, subject = sizes[spare]
        yield Case(
            f"{spare} characters over, no padding", with_token(forge.signed(f"{header}.{part}")), subject=subject
        )
        yield case(f"the payload padded with {padding}", forge.signed(f"{header}.{part}{padding}"))
        for bit in (1, 2) if spare == 3 else (1, 2, 4, 8):
            changed = part[:-1] + ALPHABET[ALPHABET.index(part[-1]) | bit]
            yield case(
                f"{spare} characters over, spare bit {bit} set in the payload", forge.signed(f"{header}.{changed}")
            )
    yield case("the header padded", forge.signed(f"{header}=.{payload}"))
    yield case("the signature padded", f"{header}.{payload}.{signature}==")
    yield case("a spare bit set in the signature", f"{header}.{payload}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}")
    special = base64url(compact_json(forge.claims(sub="\u00ff\u00ff>>>???")))
    assert set("-_") <= set(special)
    yield Case("the URL-safe alphabet", with_token(forge.signed(f"{header}.{special}")), subject="\u00ff\u00ff>>>???")
    yield case("the standard alphabet", forge.signed(f"{header}.{special.translate(str.maketrans('-_', '+/'))}"))
    yield case("the two alphabets mixed", forge.signed(f"{header}.{special.replace('-', '+')}"))
    yield case("a line break in the payload", forge.signed(f"{header}.{payload[:40]}\n{payload[40:]}"))
    yield case("a space in the payload", forge.signed(f"{header}.{payload[:40]} {payload[40:]}"))
    yield case("a tab in the payload", forge.signed(f"{header}.{payload[:40]}\t{payload[40:]}"))
    yield case("an exclamation mark in the payload", forge.signed(f"{header}.{payload[:40]}!{payload[40:]}"))
    yield case("an equals sign inside the payload", forge.signed(f"{header}.{payload[:40]}={payload[40:]}"))
    yield case("a percent-encoded payload", forge.signed(f"{header}.%65{payload[1:]}"))
    yield case("a payload of five characters, a length that no bytes have", forge.signed(f"{header}.AAAAA"))
    yield case("a payload in hex", forge.signed(f"{header}.{compact_json(forge.claims()).hex()}"), "malformed_claims")
    yield case("the payload encoded twice", forge.signed(f"{header}.{base64url(payload.encode())}"), "malformed_claims")
    yield case(
        "the payload not encoded (RFC 7797)",
        forge.signed(f"{header}.{compact_json(forge.claims()).decode()}").replace(",", ";"),
    )
    yield case("NUL bytes only", forge.signed("AAAA.AAAA"))


def jose_header(forge: Forge) -> Iterator[Case]:
    def case(comment: str, header: dict[str, Any] | bytes, reason: str | None = MALFORMED) -> Case:
        return Case(comment, with_token(forge.token(header)), reason)

    genuine = compact_json(forge.header())
    yield case("not JSON", b"not JSON")
    yield case("an array", b"[1]")
    yield case("an array of the header", compact_json([forge.header()]))
    yield case("a string", b'"EdDSA"')
    yield case("null", b"null")
    yield case("an empty object", b"{}", "unsupported_algorithm")
    yield case("not UTF-8", genuine[:-1] + b',"x":"\xff"}')
    yield case("UTF-16", genuine.decode().encode("utf-16"))
    yield case("a byte order mark", b"\xef\xbb\xbf" + genuine)
    yield case("something after the object", genuine + b"{}")
    yield case("a NUL after the object", genuine + b"\0")
    yield case("a trailing comma", genuine[:-1] + b",}")
    yield case("a comment", genuine[:-1] + b"/**/}")
    yield case("single quotes", genuine.replace(b'"', b"'"))
    yield case("not closed", genuine[:-1])
    yield case("white space around", b" \n" + genuine + b"\t\r\n", None)
    yield case("white space inside", genuine.replace(b":", b" : ").replace(b",", b" ,\n"), None)
    yield case("the members in another order", dict(reversed(forge.header().items())), None)
    yield case("a name written with an escape", genuine.replace(b'"kid"', b'"\\u006bid"'), None)
    yield case("a value written with an escape", genuine.replace(b'"EdDSA"', b'"Ed\\u0044SA"'), None)
    yield case("kid repeated", forge.raw_header(f',"kid":"{forge.own.text}"'))
    yield case("kid repeated, another's first", b'{"kid":"' + FOREIGN.text.encode() + b'",' + genuine[1:])
    yield case("kid repeated, another's last", forge.raw_header(f',"kid":"{FOREIGN.text}"'))
    yield case("alg repeated, none first", b'{"alg":"none",' + genuine[1:])
    yield case("alg repeated, none last", forge.raw_header(',"alg":"none"'))
    yield case("kid repeated, spelt with an escape", forge.raw_header(f',"\\u006bid":"{forge.own.text}"'))
    yield case("an unknown member repeated", forge.raw_header(',"x":1,"x":1'))
    yield case("a repetition inside an unknown member", forge.raw_header(',"x":{"a":1,"a":1}'))
    unknown = {
        "text": '"a"',
        "a number": "1",
        "an object": '{"a":[1]}',
        "an array": "[null]",
        "null": "null",
        "true": "true",
    }
    for comment, value in unknown.items():
        yield case(f"an unknown member: {comment}", forge.raw_header(f',"x":{value}'), None)
    yield case("an unknown member: NaN", forge.raw_header(',"x":NaN'))
    yield case("an unknown member: Infinity", forge.raw_header(',"x":-Infinity'))
    yield case("an unknown member: 1e999", forge.raw_header(',"x":1e999'))
    yield case("an unknown member: a leading zero", forge.raw_header(',"x":01'))
    yield case("an unknown member: half a surrogate pair", forge.raw_header(',"x":"\\ud83d"'))
    yield case("an unknown member: a surrogate pair", forge.raw_header(',"x":"\\ud83d\\ude00"'), None)
    yield case("an unknown member: nested 32 deep", forge.raw_header(f',"x":{nested(31)}'), None)
    yield case("an unknown member: nested 33 deep", forge.raw_header(f',"x":{nested(32)}'))
    yield case("an unknown member: nested 5,000 deep", forge.raw_header(f',"x":{nested(5000)}'))
    yield case("32 brackets, those in text included", forge.header(x="[{" * 15 + "["), None)
    yield case("33 brackets, those in text included", forge.header(x="[{" * 16))
    # 768 bytes are 1,024 characters of base64url.
    room = 768 - len(compact_json(forge.header(x="")))
    yield case("1,024 characters long", forge.header(x="x" * room), None)
    yield case("1,026 characters long", forge.header(x="x" * (room + 1)))
    for typ in ("at+jwt", "jwt", "JOSE", "", 1, ["JWT"], False):
        yield case(f"typ is {typ!r}", forge.header(typ=typ))
    yield case("typ is null", genuine.replace(b'"JWT"', b"null"))
    yield case("no typ", forge.header(typ=None), None)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(FOREIGN.raw)}
    url = "https://example.org/keys"
    forbidden: list[tuple[str, object]] = [
        ("crit", ["exp"]), ("crit", []), ("crit", ["x"]), ("crit", "exp"), ("b64", True), ("b64", False),
        ("jwk", jwk), ("jwk", {}), ("jku", url), ("x5c", ["MIIB"]), ("x5u", url),
    ]  # fmt: skip
    for name, content in forbidden:
        yield case(f"{name} is {compact_json(content).decode()}", forge.header(**{name: content}))
    yield case("crit, and the member it names", forge.header(crit=["x"], x=1))
    foreign = forge.token(forge.header(jwk=jwk), key=FOREIGN)
    yield Case("jwk, and signed by that key", with_token(foreign), MALFORMED)
    for name in ("cty", "x5t", "zip", "enc", "epk", "url", "nonce"):
        yield case(f"the member {name}, which changes nothing", forge.header(**{name: "x"}), None)
    algorithms: tuple[object, ...] = (
        "none", "None", "NONE", "nOnE", "HS256", "HS512", "RS256", "PS256", "ES256", "ES256K", "Ed448", "Ed25519",
        "EdDSA ", "eddsa", "EDDSA", "", "EdDSA\0", 1, True, ["EdDSA"], {"EdDSA": 1},
    )  # fmt: skip
    for alg in algorithms:
        yield case(f"alg is {alg!r}", forge.header(alg=alg), "unsupported_algorithm")
    yield case("alg is null", genuine.replace(b'"EdDSA"', b"null"), "unsupported_algorithm")
    yield case("no alg", forge.header(alg=None), "unsupported_algorithm")
    for alg in ("none", "EdDSA"):
        token = f"{forge.parts(forge.header(alg=alg))}."
        reason = "unsupported_algorithm" if alg == "none" else "bad_signature"
        yield Case(f"alg is {alg!r} and there is no signature", with_token(token), reason)
    yield from _key_names(forge)


def _key_names(forge: Forge) -> Iterator[Case]:
    names: dict[str, object] = {
        "another's": FOREIGN.text,
        "no string": [forge.own.text],
        "a number": 0,
        "empty": "",
        "a prefix of the key's": forge.own.text[:-1],
        "the key's and more": forge.own.text + "1",
        "in another case": forge.own.text.upper(),
        "without publickeyv1_": forge.own.text.removeprefix("publickeyv1_"),
        "with white space": forge.own.text + " ",
        "the raw bytes in base64url": base64url(forge.own.raw),
        "a path": "../../dev/null",
        "SQL": "' OR 1=1 --",
        "500 characters long": "k" * 500,
    }
    for comment, kid in names.items():
        yield Case(f"kid is {comment}", with_token(forge.token(forge.header(kid=kid))), "unknown_key")
    yield Case("no kid", with_token(forge.token(forge.header(kid=None))), "unknown_key")
    kid_null = compact_json(forge.header()).replace(f'"{forge.own.text}"'.encode(), b"null")
    yield Case("kid is null", with_token(forge.token(kid_null)), "unknown_key")
    token = forge.token(forge.header(kid=FOREIGN.text), key=FOREIGN)
    yield Case("another's name and signature", with_token(token), "unknown_key")


def claims(forge: Forge) -> Iterator[Case]:
    def case(
        comment: str,
        claims: dict[str, Any] | bytes,
        reason: str | None = "malformed_claims",
        subject: str | None = None,
    ) -> Case:
        return Case(comment, with_token(forge.token(claims=claims)), reason, subject=subject)

    genuine = compact_json(forge.claims())
    yield case("not JSON", b"not JSON")
    yield case("nothing", b"")
    yield case("an empty object", b"{}")
    yield case("an array of the claims", compact_json([forge.claims()]))
    yield case("a string", b'"aud"')
    yield case("null", b"null")
    yield case("a nested token", forge.genuine().encode())
    yield case("not UTF-8", genuine[:-1] + b',"x":"\xff"}')
    yield case("UTF-16", genuine.decode().encode("utf-16"))
    yield case("overlong UTF-8", genuine[:-1] + b',"x":"\xc0\xaf"}')
    yield case("half a surrogate pair as UTF-8", forge.raw_claims(',"sub":"\ud800"'))
    yield case("a byte order mark", b"\xef\xbb\xbf" + genuine)
    yield case("something after the object", genuine + b"{}")
    yield case("a trailing comma", genuine[:-1] + b",}")
    yield case("not closed", genuine[:-1])
    yield case("a control character in a string", forge.raw_claims(',"sub":"\t"'))
    yield case("white space around and inside", b" " + genuine.replace(b":", b" : ") + b"\n", None)
    yield case("the claims in another order", dict(reversed(forge.claims().items())), None)
    yield case("a name written with an escape", genuine.replace(b'"aud"', b'"\\u0061ud"'), None)
    yield case("a value written with escapes", genuine.replace(b'"/inv', b'"\\/\\u0069nv'), None)
    for name, value in (("aud", f'"{PATH}"'), ("exp", str(forge.now + 60)), ("x", "1")):
        repeat = f',"{name}":{value}' * (2 if name == "x" else 1)
        yield case(f"{name} repeated, the same", forge.raw_claims(repeat))
    yield case("exp repeated, a later one last", forge.raw_claims(f',"exp":{forge.now + 9999}'))
    yield case("aud repeated, another's first", b'{"aud":"/invoke/Greeter/admin",' + genuine[1:])
    yield case("sub repeated", forge.raw_claims(',"sub":"a","sub":"b"'))
    yield case("aud repeated, spelt with an escape", forge.raw_claims(',"\\u0061ud":"/discover"'))
    unknown = {
        "iss": '"restate"',
        "jti": '"1"',
        "ctx": '{"a":[{"b":null}]}',
        "ver": "2",
        "ok": "true",
        "Aud": '"/discover"',
    }
    for name, value in unknown.items():
        yield case(f"the unknown claim {name}", forge.raw_claims(f',"{name}":{value}'), None)
    yield case("an unknown claim: NaN", forge.raw_claims(',"x":NaN'))
    yield case("an unknown claim: Infinity", forge.raw_claims(',"x":Infinity'))
    yield case("an unknown claim: -1e999", forge.raw_claims(',"x":-1e999'))
    yield case("an unknown claim: a float", forge.raw_claims(',"x":1.5'), None)
    yield case("an unknown claim: half a surrogate pair", forge.raw_claims(',"x":"\\udc00"'))
    yield case("a name with half a surrogate pair", forge.raw_claims(',"\\udc00":1'))
    yield case("an unknown claim: nested 32 deep", forge.raw_claims(f',"x":{nested(31)}'), None)
    yield case("an unknown claim: nested 33 deep", forge.raw_claims(f',"x":{nested(32)}'))
    yield case("an unknown claim: nested 5,000 deep", forge.raw_claims(f',"x":{nested(5000)}'))
    yield case("no aud", forge.claims(aud=None))
    yield case("aud is an array of one", forge.claims(aud=[PATH]))
    yield case("aud is an array of several", forge.claims(aud=["/discover", PATH]))
    yield case("aud is a number", forge.claims(aud=1))
    yield case("aud is null", genuine.replace(f'"{PATH}"'.encode(), b"null"))
    yield case("aud is an object", forge.claims(aud={PATH: 1}))
    yield case("aud in upper case only", genuine.replace(b'"aud"', b'"AUD"'))
    yield case("sub is a number", forge.claims(sub=1))
    yield case("sub is null", forge.raw_claims(',"sub":null'))
    yield case("sub is an array", forge.claims(sub=["a"]))
    yield case("sub is false", forge.claims(sub=False))
    yield case("sub with a surrogate pair", forge.raw_claims(',"sub":"\\ud83d\\ude00"'), None, "\U0001f600")
    yield case("sub with half a surrogate pair", forge.raw_claims(',"sub":"\\ud83d"'))
    yield case("sub with an escaped backslash before uXXXX", forge.raw_claims(',"sub":"\\\\ud83d"'), None, "\\ud83d")
    for name in ("nbf", "iat", "exp"):
        time = forge.claims()[name]
        yield case(f"no {name}", forge.claims(**{name: None}))
        yield case(f"{name} is null", genuine.replace(f'"{name}":{time}'.encode(), f'"{name}":null'.encode()))
        yield case(f"{name} is text", forge.claims(**{name: str(time)}))
        yield case(f"{name} is a fraction", forge.claims(**{name: time + 0.5}))
        yield case(f"{name} is a whole float", forge.claims(**{name: float(time)}))
        yield case(
            f"{name} has an exponent", genuine.replace(f'"{name}":{time}'.encode(), f'"{name}":{time}e0'.encode())
        )
        yield case(f"{name} is true", forge.claims(**{name: True}))
        yield case(f"{name} is an array", forge.claims(**{name: [time]}))
        yield case(f"{name} has a leading zero", genuine.replace(f'"{name}":'.encode(), f'"{name}":0'.encode()))
        yield case(f"{name} has a plus sign", genuine.replace(f'"{name}":'.encode(), f'"{name}":+'.encode()))
    yield case("exp is 2**53", forge.claims(exp=2**53))
    yield case("exp is 2**64", forge.claims(exp=2**64))
    yield case("exp is beyond every float", forge.claims(exp=10**400))
    yield case("nbf is 0", forge.claims(nbf=0), None)
    yield case("nbf is -1", forge.claims(nbf=-1))
    yield case("nbf is -2**53", forge.claims(nbf=-(2**53)))
    yield case("nbf after iat", forge.claims(nbf=forge.now, iat=forge.now - 1))
    yield case("iat after exp", forge.claims(iat=forge.now + 61))
    yield case("exp before nbf", forge.claims(exp=forge.now - 61))
    yield case(
        "nbf, iat and exp in the wrong order, and expired",
        forge.claims(nbf=forge.now, iat=forge.now - 1, exp=forge.now - 2),
    )
    yield case("an unknown claim: objects nested 32 deep", forge.raw_claims(f',"x":{nested_objects(31)}'), None)
    yield case("an unknown claim: objects nested 33 deep", forge.raw_claims(f',"x":{nested_objects(32)}'))
    yield case("an unknown claim: a number of 500 digits", forge.raw_claims(',"x":' + "9" * 500), None)
    yield case("an unknown claim: a number of 5,000 digits", forge.raw_claims(',"x":' + "9" * 5000))
    yield case("iat is nbf", forge.claims(iat=forge.now - 60), None)
    yield case("a control character in a string, escaped", forge.raw_claims(',"sub":"\\t"'), None, "\t")


def signature(forge: Forge) -> Iterator[Case]:
    parts = forge.parts()
    raw = forge.own.sign(parts.encode())
    scalar = secret_scalar(forge.own.seed)

    def case(comment: str, signature: bytes, reason: str | None = "bad_signature") -> Case:
        return Case(comment, with_token(f"{parts}.{base64url(signature)}"), reason)

    yield case("the genuine one", raw, None)
    yield case(
        "the genuine one, made with another nonce", sign(parts.encode(), forge.own.raw, scalar, nonce=2**200 + 7), None
    )
    yield case("none", b"")
    for length in (1, 32, 63):
        yield case(f"the first {length} bytes", raw[:length])
    yield case("a zero byte more", raw + b"\0")
    yield case("twice", raw * 2)
    yield case("R twice", raw[:32] * 2)
    yield case("S twice", raw[32:] * 2)
    yield case("R and S exchanged", raw[32:] + raw[:32])
    yield case("zeros", bytes(64))
    yield case("ones", b"\xff" * 64)
    yield case("the key in place of R", forge.own.raw + raw[32:])
    for position in (0, 31, 32, 63):
        for bit in (0, 7):
            changed = bytearray(raw)
            changed[position] ^= 1 << bit
            yield case(f"bit {bit} of byte {position} flipped", bytes(changed))
    s = int.from_bytes(raw[32:], "little")
    for times in (1, 2, 7, 8, 14):
        yield case(f"S + {times} L, not reduced", raw[:32] + (s + times * L).to_bytes(32, "little"))
    yield case("S negated", raw[:32] + ((-s) % L).to_bytes(32, "little"))
    yield case("S is 0", raw[:32] + bytes(32))
    yield case("S is L", raw[:32] + L.to_bytes(32, "little"))
    yield case("the sign of R flipped", raw[:31] + bytes([raw[31] ^ 0x80]) + raw[32:])
    for comment, torsion in (("2", ORDER_2), ("4", ORDER_4), ("8", ORDER_8)):
        mixed = sign(parts.encode(), forge.own.raw, scalar, nonce=2**180 + 1, torsion=torsion)
        yield case(f"R with a component of order {comment}: only the equation with the cofactor holds", mixed)
        small = sign(parts.encode(), forge.own.raw, scalar, nonce=0, torsion=torsion)
        yield case(f"R of order {comment}: only the equation with the cofactor holds", small)
    neutral = sign(parts.encode(), forge.own.raw, scalar, nonce=0)
    yield case("R is the neutral element: both equations hold, but anyone can read the private key", neutral)
    for comment, encoding in (("y + p", P + 1), ("with a sign", 1 | 1 << 255)):
        r = encoding.to_bytes(32, "little")
        yield case(
            f"R is the neutral element, not canonical ({comment})",
            sign(parts.encode(), forge.own.raw, scalar, nonce=0, r=r),
        )
    yield from _of_something_else(forge, raw)
    yield from _forged_without_a_key(forge)


def _of_something_else(forge: Forge, genuine: bytes) -> Iterator[Case]:
    def case(comment: str, parts: str, signature: bytes) -> Case:
        return Case(comment, with_token(f"{parts}.{base64url(signature)}"), "bad_signature")

    parts = forge.parts()
    header, payload = parts.split(".")
    yield case("another's", parts, FOREIGN.sign(parts.encode()))
    yield case("of another subject", forge.parts(claims=forge.claims(sub="admin")), genuine)
    yield case("of another handler", forge.parts(claims=forge.claims(aud="/invoke/Greeter/admin")), genuine)
    yield case("of an earlier second", forge.parts(claims=forge.claims(exp=forge.now + 61)), genuine)
    yield case(
        "of the same claims in another order", forge.parts(claims=dict(reversed(forge.claims().items()))), genuine
    )
    yield case("of the same header in another order", forge.parts(dict(reversed(forge.header().items()))), genuine)
    yield case("of the payload alone", parts, forge.own.sign(payload.encode()))
    yield case("of the header alone", parts, forge.own.sign(header.encode()))
    yield case("of the decoded payload", parts, forge.own.sign(compact_json(forge.claims())))
    yield case(
        "of the decoded parts",
        parts,
        forge.own.sign(compact_json(forge.header()) + b"." + compact_json(forge.claims())),
    )
    yield case("of the parts without the dot", parts, forge.own.sign((header + payload).encode()))
    yield case("of the parts and a dot", parts, forge.own.sign((parts + ".").encode()))
    yield case("of nothing", parts, forge.own.sign(b""))
    yield case("of other claims, with claims that are not JSON", forge.parts(claims=b"{"), genuine)


def _forged_without_a_key(forge: Forge) -> Iterator[Case]:
    """What an attacker who knows the public key alone can compute."""
    parts = forge.parts()
    k = challenge(NEUTRAL.encoded(), forge.own.raw, parts.encode())
    yield Case(
        "R neutral, S the challenge",
        with_token(f"{parts}.{base64url(NEUTRAL.encoded() + k.to_bytes(32, 'little'))}"),
        "bad_signature",
    )
    yield Case(
        "R is the base point, S is 1",
        with_token(f"{parts}.{base64url(BASE.encoded() + (1).to_bytes(32, 'little'))}"),
        "bad_signature",
    )
    mac = hmac.digest(forge.own.text.encode(), parts.encode(), "sha256")
    yield Case("an HMAC with the public key as the secret", with_token(f"{parts}.{base64url(mac)}"), "bad_signature")
    weak = restate_form(NEUTRAL.encoded())
    weak_parts = forge.parts(forge.header(kid=weak))
    yield Case(
        "forged for the neutral element, which is not configured",
        with_token(f"{weak_parts}.{base64url(NEUTRAL.encoded() + bytes(32))}"),
        "unknown_key",
    )
