"""Parse only JSON objects that every parser reads in the same way (RFC 8259)."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

# Restate's tokens have no nesting at all. A fixed limit makes the verdict independent of the caller's stack.
MAX_DEPTH = 32


def json_object(text: str) -> dict[str, Any]:
    """Return the members of the JSON object *text*.

    Raises:
        ValueError: *text* is not JSON, or not an object; a member is repeated; a number is not finite; the nesting is
            deeper than `MAX_DEPTH`; or a string holds half a surrogate pair. The message is safe to log.
    """
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    _refuse_depth(value)
    _refuse_half_pairs(text, value)
    return value


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _finite(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _not_json(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unrepeated, parse_float=_finite, parse_constant=_not_json)


def _refuse_depth(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise ValueError("nested too deeply")


def _refuse_half_pairs(text: str, value: dict[str, Any]) -> None:
    # An escape can encode half a surrogate pair, which is not a character (RFC 8259, 8.2) and has no UTF-8 form.
    if "\\u" not in text:
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a string holds half a surrogate pair") from None
