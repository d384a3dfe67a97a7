"""Write expressions of the Common Expression Language as Envoy's configuration takes them: parsed, as JSON."""

from __future__ import annotations

from functools import reduce
from typing import Any

Expression = dict[str, Any]


def text(value: str) -> Expression:
    """A constant text."""
    return {"const_expr": {"string_value": value}}


def whole(value: int) -> Expression:
    """A constant whole number."""
    return {"const_expr": {"int64_value": str(value)}}


def name(value: str) -> Expression:
    """Return the variable *value*, and for ``a.b`` its field."""
    first, *fields = value.split(".")
    return reduce(field, fields, {"ident_expr": {"name": first}})


def field(of: Expression, called: str) -> Expression:
    """``of.called``"""
    return {"select_expr": {"operand": of, "field": called}}


def has(of: Expression, called: str) -> Expression:
    """``has(of.called)``"""
    return {"select_expr": {"operand": of, "field": called, "test_only": True}}


def item(of: Expression, key: str) -> Expression:
    """``of["key"]``"""
    return call("_[_]", of, text(key))


def call(function: str, *arguments: Expression) -> Expression:
    """``function(arguments)``"""
    return {"call_expr": {"function": function, "args": list(arguments)}}


def method(of: Expression, function: str, *arguments: Expression) -> Expression:
    """``of.function(arguments)``"""
    return {"call_expr": {"target": of, "function": function, "args": list(arguments)}}


def equal(left: Expression, right: Expression) -> Expression:
    """``left == right``"""
    return call("_==_", left, right)


def at_most(left: Expression, right: Expression) -> Expression:
    """``left <= right``"""
    return call("_<=_", left, right)


def no(condition: Expression) -> Expression:
    """``!condition``"""
    return call("!_", condition)


def either(left: Expression, right: Expression) -> Expression:
    """``left || right``"""
    return call("_||_", left, right)


def every(*conditions: Expression) -> Expression:
    """``a && b && …``"""
    return reduce(lambda left, right: call("_&&_", left, right), conditions)
