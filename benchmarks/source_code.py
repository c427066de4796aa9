"""Read the source text of a package: what each module and each function measures.

Uses ast and tokenize only, so it reads any checkout without importing it. `benchmarks.house` makes
figures of it; its docstring holds the definitions.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

LAYOUT_TOKENS = {
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
NAMED = FunctionNode | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Function:
    """One function or method.

    `name` is `module:Class.function`, `n_lines` leaves the docstring out and `n_parameters` self
    and cls. A command is a function that typer's `app.command()` decorates.
    """

    name: str
    n_lines: int
    n_parameters: int
    is_command: bool


@dataclass(frozen=True, slots=True)
class Imports:
    """The modules of the package that one module imports.

    `at_start` are needed to import the module; `when_run` adds imports inside functions, `written`
    also those that only a type checker sees.
    """

    at_start: frozenset[str]
    when_run: frozenset[str]
    written: frozenset[str]


@dataclass(frozen=True, slots=True)
class Module:
    """One module; `n_untyped` counts the lines whose annotations hold a dictionary of Any."""

    name: str
    n_lines: int
    n_code: int
    n_comments: int
    n_untyped: int
    functions: tuple[Function, ...]
    imports: Imports


def read_modules(root: Path, package: str) -> list[Module]:
    """Read every module of the package that holds code, in the order of their names.

    Raises:
        FileNotFoundError: no module of the package lies below `root`.
    """
    texts = {_module_name(path, root): path.read_text() for path in (root / package).rglob("*.py")}
    if not texts:
        raise FileNotFoundError(f"ROOT holds a folder {package} with modules, got {root}")
    trees = {name: ast.parse(text) for name, text in sorted(texts.items())}
    return [
        _module(name, texts[name], tree, trees)
        for name, tree in trees.items()
        if any(not _is_docstring(node) for node in tree.body)
    ]


def _module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _module(name: str, text: str, tree: ast.Module, known: Collection[str]) -> Module:
    n_code, n_comments = _count_lines(text, tree)
    at_start = _statements(tree.body, in_functions=False)
    when_run = _statements(tree.body, in_functions=True)
    return Module(
        name,
        n_lines=len(text.splitlines()),
        n_code=n_code,
        n_comments=n_comments,
        n_untyped=len({line for node in ast.walk(tree) for line in _untyped_lines(node)}),
        functions=tuple(_functions(tree, f"{name}:")),
        imports=Imports(
            frozenset(_imported(at_start, known)) - {name},
            frozenset(_imported(when_run, known)) - {name},
            frozenset(_imported(ast.walk(tree), known)) - {name},
        ),
    )


def _count_lines(text: str, tree: ast.Module) -> tuple[int, int]:
    """Count the lines of code, docstrings left out, and the lines with a comment."""
    code: set[int] = set()
    comments: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in LAYOUT_TOKENS:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if _is_docstring(node):
            code.difference_update(_span(node))
    return len(code), len(comments)


def _is_docstring(node: ast.AST) -> TypeGuard[ast.Expr]:
    """Tell whether a statement is a text alone: the docstring of whatever it describes."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return False
    return isinstance(node.value.value, str)


def _span(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _functions(tree: ast.AST, prefix: str) -> Iterator[Function]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FunctionNode):
            yield _function(node, f"{prefix}{node.name}")
        inner = f"{prefix}{node.name}." if isinstance(node, NAMED) else prefix
        yield from _functions(node, inner)


def _function(node: FunctionNode, name: str) -> Function:
    docstring = len(_span(node.body[0])) if _is_docstring(node.body[0]) else 0
    decorators = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return Function(
        name,
        n_lines=len(_span(node)) - docstring,
        n_parameters=sum(a.arg not in ("self", "cls") for a in _parameters(node)),
        is_command=any(isinstance(d, ast.Attribute) and d.attr == "command" for d in decorators),
    )


def _parameters(node: FunctionNode) -> list[ast.arg]:
    listed = node.args
    starred = [a for a in (listed.vararg, listed.kwarg) if a]
    return [*listed.posonlyargs, *listed.args, *listed.kwonlyargs, *starred]


def _untyped_lines(node: ast.AST) -> Iterator[int]:
    """Find the lines of a node's own annotation that hold a dictionary of Any."""
    if isinstance(node, FunctionNode):
        annotation = node.returns
    elif isinstance(node, ast.arg | ast.AnnAssign):
        annotation = node.annotation
    else:
        annotation = None
    if annotation is None:
        return
    yield from (part.lineno for part in ast.walk(annotation) if _is_untyped(part))


def _is_untyped(part: ast.AST) -> TypeGuard[ast.Subscript]:
    if not (isinstance(part, ast.Subscript) and ast.unparse(part.value) in ("dict", "Mapping")):
        return False
    return any(isinstance(inner, ast.Name) and inner.id == "Any" for inner in ast.walk(part.slice))


def _statements(body: Sequence[ast.AST], *, in_functions: bool) -> Iterator[ast.AST]:
    """List the nodes that run: nothing under TYPE_CHECKING, functions when they are asked for."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from _statements(node.orelse, in_functions=in_functions)
        elif in_functions or not isinstance(node, FunctionNode):
            yield node
            children = list(ast.iter_child_nodes(node))
            yield from _statements(children, in_functions=in_functions)


def _imported(nodes: Iterator[ast.AST], known: Collection[str]) -> Iterator[str]:
    """Name the modules of the package that statements import; imports are absolute here."""
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in whole]
        yield from (name for name in names if name in known)
