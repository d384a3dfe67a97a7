"""Every mutant of the core: the operators of cosmic-ray, and one more for text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.python.tree import String

from tests.support import ROOT

PACKAGE = ROOT / "restate_identity"
CORE = ("errors", "keys", "paths", "identity", "tokens", "verifier")
# The core uses `|` in types only; and `is` in place of `==` depends on what the interpreter happens to share.
LEFT_OUT = re.compile(r"core/(ReplaceBinaryOperator_BitOr_|ReplaceComparisonOperator_\w+_Is(Not)?$|Variable)")
# Names, members, values: text without a space. Sentences are for people.
WORD = re.compile(r"""(b?)(["'])([^\s"']*)\2""")


class Mutant(NamedTuple):
    """One change to one module.

    Attributes:
        old, new: The lines that differ, without indentation: they name the mutant, wherever in the file it is.
    """

    module: str
    code: str
    old: str
    new: str


class WordReplacer(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """Changes text that a program reads: a member's name, an algorithm, a prefix."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if isinstance(node, String) and WORD.fullmatch(node.value):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002  # there is one way only
        return String(WORD.sub(r"\1\2\3X\2", node.value), node.start_pos, node.prefix)

    @classmethod
    def examples(cls) -> Iterable[Any]:
        return ()


def mutants() -> Iterator[Mutant]:
    operators = [get_operator(name)() for name in sorted(operator_names()) if not LEFT_OUT.match(name)]
    for module in CORE:
        code = (PACKAGE / f"{module}.py").read_text("utf-8")
        nodes = list(_nodes(get_ast(code)))
        for operator in (*operators, WordReplacer()):
            for occurrence in range(sum(len(list(operator.mutation_positions(node))) for node in nodes)):
                mutated = mutate_code(code, operator, occurrence)
                yield Mutant(module, mutated, *_changed_lines(code, mutated))


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _changed_lines(code: str, mutated: str) -> tuple[str, str]:
    lines = list(difflib.unified_diff(code.splitlines(), mutated.splitlines(), n=0, lineterm=""))[3:]
    old, new = ([line[1:].strip() for line in lines if line.startswith(sign)] for sign in "-+")
    return " ".join(old), " ".join(new)
