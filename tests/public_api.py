"""List the library's public names with their signatures: ``python -m tests.public_api`` writes public_api.txt.

A module is public if it has ``__all__``, and so are the names in it, wherever in the package they are defined. The list
is made from the sources, so it is the same on every Python, and needs no extra.
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
    "takes",
}


def main() -> None:
    """Write the file."""
    FILE.write_text(public_api(), "utf-8")


def public_api() -> str:
    """Return a paragraph for each public module."""
    return "\n".join("".join(f"{line}\n" for line in (module, *lines)) for module, lines in public_modules())


def public_modules() -> Iterator[tuple[str, list[str]]]:
    for module, names in exported().items():
        yield module, [line for name in names for line in described([definition(module, name)], indent="    ")]


def exported() -> dict[str, list[str]]:
    """Return what each public module exports, in its order."""
    found = {}
    # For a package, only its own __all__ counts.
    for file in sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("*/__init__.py")]):
        parts = file.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in body_of(module):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                found[module] = list(ast.literal_eval(node.value))
    return found


def body_of(module: str) -> list[ast.stmt]:
    file = ROOT.joinpath(*module.split("."))
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    return ast.parse(file.read_text("utf-8")).body


def definition(module: str, name: str) -> ast.stmt:
    """Return the statement that defines *name* of *module*, in any module of the package."""
    for node in body_of(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            if not is_overload(node):
                return node
        elif isinstance(node, ast.AnnAssign | ast.Assign) and name in names_assigned_in(node):
            return node
        elif isinstance(node, ast.ImportFrom) and node.module and name in [alias.name for alias in node.names]:
            return definition(node.module, name)
    raise LookupError(f"{module} exports {name} and does not have it")


def names_assigned_in(node: ast.AnnAssign | ast.Assign) -> list[str]:
    return [ast.unparse(node.target)] if isinstance(node, ast.AnnAssign) else [name for name, _ in assigned(node)]


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return "overload" in [ast.unparse(decorator) for decorator in node.decorator_list]


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
            yield from (
                f"{indent}{name} = {value(expression)}" for name, expression in assigned(node) if is_public(name)
            )
        elif isinstance(node, ast.If | ast.Try):
            # An import is not a definition of ours, but a conditional definition is.
            yield from described([*node.body, *node.orelse], indent)


def is_public(name: str) -> bool:
    """Return whether users may rely on *name*; special methods with two underscores count."""
    return not name.startswith("_") or (name.endswith("__") and name not in ("__all__", "__version__", "__slots__"))


def decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[str]:
    """List the decorators that change how users call it; the others only register it with click or Django."""
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
    """Return a short value as written in the source, else "..."; each Python writes f-strings differently."""
    if node is None or any(isinstance(part, ast.JoinedStr) for part in ast.walk(node)):
        return "..."
    text = ast.unparse(node)
    return text if len(text) <= LONGEST_VALUE else "..."


if __name__ == "__main__":
    main()
