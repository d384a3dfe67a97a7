"""The public names of the library with their signatures, as text: ``python -m tests.public_api`` writes it again.

Public is what a module defines itself under a name without an underscore, and so on into its classes; of
``__init__.py`` it is what ``__all__`` names; the other rooms of a package further in are public if it takes such a name
from them. It is read from the sources, so every Python writes the same, and no extra
is needed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support import ROOT

PACKAGE = ROOT / "restate_identity"
FILE = Path(__file__).with_suffix(".txt")
LONGEST_VALUE = 100
CALLED_OTHERWISE = {
    *("asynccontextmanager", "classmethod", "contextmanager", "dataclass", "overload", "property", "pytest.fixture"),
    *("staticmethod", "contextlib.asynccontextmanager", "contextlib.contextmanager", "dataclasses.dataclass"),
}


def main() -> None:
    """Write the file."""
    FILE.write_text(public_api(), "utf-8")


def public_api() -> str:
    """Return a paragraph for each public module."""
    return "\n".join("".join(f"{line}\n" for line in (module, *lines)) for module, lines in public_modules())


def public_modules() -> Iterator[tuple[str, list[str]]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if not any(part.startswith("_") for part in parts) and (file.parent == PACKAGE or is_shown(file)):
            lines = list(described(ast.parse(file.read_text("utf-8")).body, indent="    "))
            if lines:
                yield ".".join(parts), lines


def is_shown(file: Path) -> bool:
    """Tell whether *file*, a room of a package further in, is its front or has what stands there."""
    front = file.with_name("__init__.py")
    return file == front or f".{file.stem} import " in front.read_text("utf-8")


def described(body: Iterable[ast.stmt], indent: str) -> Iterator[str]:
    """Describe what the statements of a module or a class define, in their order."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if is_public(node.name):
                yield from (f"{indent}{decorator}" for decorator in decorators(node))
                yield f"{indent}{signature(node)}"
                if node.name == "__init__":
                    yield from (f"{indent}{line}" for line in attributes_set_in(node))
        elif isinstance(node, ast.ClassDef):
            if is_public(node.name):
                yield from (f"{indent}{decorator}" for decorator in decorators(node))
                yield f"{indent}class {node.name}({', '.join(map(ast.unparse, [*node.bases, *node.keywords]))})"
                yield from described(node.body, f"{indent}    ")
        elif isinstance(node, ast.AnnAssign):
            if is_public(ast.unparse(node.target)):
                default = "" if node.value is None else f" = {value(node.value)}"
                yield f"{indent}{ast.unparse(node.target)}: {ast.unparse(node.annotation)}{default}"
        elif isinstance(node, ast.Assign):
            for name, expression in assigned(node):
                if name == "__all__":
                    exported: list[str] = ast.literal_eval(node.value)
                    yield from (f"{indent}{public}" for public in exported)
                elif is_public(name):
                    yield f"{indent}{name} = {value(expression)}"
        elif isinstance(node, ast.If | ast.Try):
            # Imports are nothing that we define; a definition that depends on something is.
            yield from described([*node.body, *node.orelse], indent)


def is_public(name: str) -> bool:
    """Tell whether users may rely on *name*; what Python calls by a name with two underscores is part of a class."""
    return not name.startswith("_") or (name.endswith("__") and name not in ("__all__", "__version__", "__slots__"))


def decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[str]:
    """List those that change how users call it. The others register it, with click or Django."""
    names = map(ast.unparse, node.decorator_list)
    return [f"@{name}" for name in names if name.partition("(")[0] in CALLED_OTHERWISE]


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    keyword = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"{keyword} {node.name}({ast.unparse(node.args)}){returns}"


def attributes_set_in(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for statement in ast.walk(node):
        targets: list[ast.expr]
        if isinstance(statement, ast.AnnAssign):
            targets, annotation = [statement.target], f": {ast.unparse(statement.annotation)}"
        elif isinstance(statement, ast.Assign):
            targets, annotation = statement.targets, ""
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self" and is_public(target.attr):
                yield f"self.{target.attr}{annotation}"


def assigned(node: ast.Assign) -> Iterator[tuple[str, ast.expr | None]]:
    for target in node.targets:
        if isinstance(target, ast.Name):
            yield target.id, node.value
        elif isinstance(target, ast.Tuple):
            yield from ((ast.unparse(name), None) for name in target.elts)


def value(node: ast.expr | None) -> str:
    """Return the value as it is written, if it is short; an f-string is written in another way by each Python."""
    if node is None or any(isinstance(part, ast.JoinedStr) for part in ast.walk(node)):
        return "..."
    text = ast.unparse(node)
    return text if len(text) <= LONGEST_VALUE else "..."


if __name__ == "__main__":
    main()
