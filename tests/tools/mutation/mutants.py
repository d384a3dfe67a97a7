"""Every mutant of the package: the operators of cosmic-ray, one more for text, and one that leaves out a statement."""

from __future__ import annotations

import copy
import difflib
import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cosmic_ray.ast import get_ast
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.python.tree import ExprStmt, Keyword, PythonNode, String

from tests.support import ROOT

PACKAGE = ROOT / "restate_identity"
# `|` stands in types only. `is` in place of `==` depends on what the interpreter happens to share. `==` in place of
# `is` changes nothing, since `is` compares with None and with members of enums. Of the ten other operators that
# arithmetic could have, one is enough: a test that notices one notices the others.
LEFT_OUT = re.compile(
    r"core/(ReplaceComparisonOperator_(\w+_Is(Not)?|Is_Eq|IsNot_NotEq)$|Variable"
    r"|ReplaceBinaryOperator_(?!(Add_Sub|Sub_Add|Mul_FloorDiv|Div_Mul|FloorDiv_Mul|Mod_Mul|Pow_Mul|LShift_RShift"
    r"|RShift_LShift|BitAnd_BitXor|BitXor_BitAnd)$))"
)
# A type checker notices them, except that slots are gone: these only take less memory.
_OF_TYPES = (
    *("if TYPE_CHECKING:", "@overload"),
    *("@dataclass(frozen=True, kw_only=True)", "@dataclass(frozen=True)", "@dataclass(frozen=True, slots=True)"),
)
# Names, members, values: text without a space. Sentences are for people.
WORD = re.compile(r"""(b?)(["'])([^\s"']*)\2""")


class Change(NamedTuple):
    """What a mutant changes. The same change may be possible in several places of a module."""

    module: str
    old: str
    new: str


class Mutant(NamedTuple):
    """One change to one module.

    Attributes:
        lines: The first and the last line that differ, in the unchanged file.
        old, new: The lines that differ, without indentation.
    """

    module: str
    code: str
    lines: tuple[int, int]
    old: str
    new: str

    @property
    def change(self) -> Change:
        return Change(self.module, self.old, self.new)

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.module}\0{self.code}".encode()).hexdigest()


class WordReplacer(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """Changes text that a program reads: a member's name, an algorithm, a prefix."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if isinstance(node, String) and WORD.fullmatch(node.value) and not _is_exported(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002  # there is one way only
        return String(WORD.sub(r"\1\2\3X\2", node.value), node.start_pos, node.prefix)

    @classmethod
    def examples(cls) -> Iterable[Any]:
        return ()


class StatementRemover(Operator):  # type: ignore[misc]
    """Removes a call whose result is not used, such as cancelling a timer or logging a line."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        is_statement = isinstance(node, PythonNode) and getattr(node.parent, "type", "") in ("simple_stmt", "suite")
        if is_statement and node.type in ("atom_expr", "power") and node.get_code().endswith(")"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002
        return Keyword("pass", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> Iterable[Any]:
        return ()


def modules() -> list[str]:
    """The modules of the package by name, as ``tunnel.wire``."""
    return sorted(".".join(file.relative_to(PACKAGE).with_suffix("").parts) for file in PACKAGE.rglob("*.py"))


def source(module: str) -> str:
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8")


def mutants(module: str) -> Iterator[Mutant]:
    operators = [get_operator(name)() for name in sorted(operator_names()) if not LEFT_OUT.match(name)]
    code = source(module)
    lines = code.splitlines(keepends=True)
    nodes = list(_nodes(get_ast(code)))
    for operator in (*operators, WordReplacer(), StatementRemover()):
        for node in nodes:
            for index, _ in enumerate(list(operator.mutation_positions(node))):
                try:
                    changed = operator.mutate(_copy(node), index)
                except AttributeError:
                    continue  # cosmic-ray cannot replace an exception that is named with a dot, beside others
                mutated = (
                    _between(lines, (1, 0), node.get_start_pos_of_prefix())
                    + ("" if changed is None else changed.get_code())
                    + _between(lines, node.end_pos, (len(lines) + 1, 0))
                )
                old, new = _changed_lines(code, mutated)
                if old not in _OF_TYPES and "TypeVar(" not in old and _compiles(mutated):
                    lines_ = node.start_pos[0], node.end_pos[0]
                    yield Mutant(module, mutated, lines_, old, new)


def _compiles(code: str) -> bool:
    """Whether *code* is Python: the operators take the `*` before keyword arguments for a product."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _copy(node: Any) -> Any:
    """Return a copy of *node* and its children, but not of the tree around it."""
    parent, node.parent = node.parent, None
    try:
        alone = copy.deepcopy(node)
    finally:
        node.parent = parent
    alone.parent = parent
    return alone


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    (first, column), (last, end_column) = start, end
    if first == last:
        return "" if first > len(lines) else lines[first - 1][column:end_column]
    tail = lines[last - 1][:end_column] if last <= len(lines) else ""
    return "".join((lines[first - 1][column:] if first <= len(lines) else "", *lines[first : last - 1], tail))


def _is_exported(node: Any) -> bool:
    """Whether *node* stands in a list of names, which Python or `tests/public_api.txt` reads."""
    while node is not None:
        if isinstance(node, ExprStmt) and node.children[0].get_code(include_prefix=False) in (
            "__all__",
            "__slots__",
        ):
            return True
        node = node.parent
    return False


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _changed_lines(code: str, mutated: str) -> tuple[str, str]:
    lines = list(difflib.unified_diff(code.splitlines(), mutated.splitlines(), n=0, lineterm=""))[3:]
    old, new = ([line[1:].strip() for line in lines if line.startswith(sign)] for sign in "-+")
    return " ".join(old), " ".join(new)
