"""Measure the shape of the package: sizes, parameters, imports, comments, untyped dictionaries.

Reads source text only, so it measures any checkout, without what that one needs:

    python -m benchmarks.house [ROOT] [--json]

ROOT is a checkout; this one by default. To compare two commits, measure both with one script:

    git worktree add ../before COMMIT
    python -m benchmarks.house ../before
    python -m benchmarks.house

Definitions:

- A module is a file with code; an `__init__.py` that holds a docstring alone is not counted.
- The lines of a function run from `def` to its end without its docstring; decorators are not
  counted. A nested function counts for itself and within the outer one.
- Parameters leave out `self` and `cls`. The parameters of typer's commands are counted apart,
  because a command has as many as its contract has options.
- Internal imports are the different modules of the package that a module needs when it is
  imported. `from package.a import b` is the module `package.a.b` where there is one, else
  `package.a`. A second figure adds imports inside functions and under TYPE_CHECKING.
- A cycle is a group of modules that reach each other through imports; what only a type checker
  sees is left out. A second figure adds imports inside functions.
- The comment share is lines with a comment per line of code. A docstring is neither.
- An untyped line is one on which an annotation (parameter, return value, field, variable) holds
  `dict[..., Any]` or `Mapping[..., Any]`.
- p90 is the smallest count that 90 % of the counts do not exceed.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.source_code import read_modules

PACKAGE = "dianet_ray"
MAX_LINES, MAX_PARAMETERS, N_LISTED = 40, 5, 10


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 90th percentile and maximum of some counts."""

    median: float
    p90: int
    max: int


@dataclass(frozen=True, slots=True)
class Named:
    """A module or function and its count."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class House:
    """What is measured of a package; lists start with the largest count."""

    n_modules: int
    module_lines: Spread
    longest_modules: tuple[Named, ...]
    n_functions: int
    function_lines: Spread
    longest_functions: tuple[Named, ...]
    n_functions_above_limit: int
    parameters: Spread
    many_parameters: tuple[Named, ...]
    commands_with_many_parameters: tuple[Named, ...]
    imports: float
    imports_of_search: float
    imports_written: float
    comment_share: float
    n_untyped_lines: int
    cycles: tuple[tuple[str, ...], ...]
    cycles_when_run: tuple[tuple[str, ...], ...]


def measure(root: Path, package: str = PACKAGE) -> House:
    """Measure the package in the folder `root`."""
    modules = read_modules(root, package)
    functions = [function for module in modules for function in module.functions]
    long = [Named(f.name, f.n_lines) for f in functions]
    parameters = [Named(f.name, f.n_parameters) for f in functions if not f.is_command]
    options = [Named(f.name, f.n_parameters) for f in functions if f.is_command]
    search = [m for m in modules if m.name.startswith(f"{package}.search.")]
    return House(
        n_modules=len(modules),
        module_lines=spread(m.n_lines for m in modules),
        longest_modules=_largest(Named(m.name, m.n_lines) for m in modules)[:N_LISTED],
        n_functions=len(functions),
        function_lines=spread(f.count for f in long),
        longest_functions=_largest(long)[:N_LISTED],
        n_functions_above_limit=len(_largest(long, above=MAX_LINES)),
        parameters=spread(f.count for f in parameters),
        many_parameters=_largest(parameters, above=MAX_PARAMETERS),
        commands_with_many_parameters=_largest(options, above=MAX_PARAMETERS),
        imports=_mean(len(m.imports.at_start) for m in modules),
        imports_of_search=_mean(len(m.imports.at_start) for m in search),
        imports_written=_mean(len(m.imports.written) for m in modules),
        comment_share=sum(m.n_comments for m in modules) / sum(m.n_code for m in modules),
        n_untyped_lines=sum(m.n_untyped for m in modules),
        cycles=cycles({m.name: m.imports.at_start for m in modules}),
        cycles_when_run=cycles({m.name: m.imports.when_run for m in modules}),
    )


def spread(counts: Iterable[int]) -> Spread:
    """Take median, 90th percentile and maximum; nothing gives zeros."""
    ordered = sorted(counts) or [0]
    p90 = ordered[math.ceil(0.9 * len(ordered)) - 1]
    return Spread(statistics.median(ordered), p90, ordered[-1])


def cycles(imports: Mapping[str, frozenset[str]]) -> tuple[tuple[str, ...], ...]:
    """Group the modules that reach each other; every group and the groups are sorted."""
    reached = {name: _reach(name, imports) for name in imports}
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached.get(other, ())))
        for name in imports
    }
    return tuple(sorted(groups - {()}))


def _reach(start: str, imports: Mapping[str, frozenset[str]]) -> set[str]:
    found: set[str] = set()
    left = [start]
    while left:
        new = imports.get(left.pop(), frozenset()) - found
        found |= new
        left.extend(new)
    return found


def _mean(counts: Iterable[int]) -> float:
    listed = list(counts)
    return sum(listed) / max(1, len(listed))


def _largest(named: Iterable[Named], above: int = 0) -> tuple[Named, ...]:
    kept = (one for one in named if one.count > above)
    return tuple(sorted(kept, key=lambda one: (-one.count, one.name)))


def table(house: House) -> str:
    """Write the figures one a line, then the lists."""

    def three(found: Spread) -> str:
        return f"{found.median:g} / {found.p90} / {found.max}"

    figures = {
        f"lines of {house.n_modules} modules: median / p90 / max": three(house.module_lines),
        f"lines of {house.n_functions} functions: median / p90 / max": three(house.function_lines),
        f"functions above {MAX_LINES} lines": house.n_functions_above_limit,
        "parameters, without commands: median / p90 / max": three(house.parameters),
        f"functions with more than {MAX_PARAMETERS} parameters": len(house.many_parameters),
        "commands with more": len(house.commands_with_many_parameters),
        "internal imports per module": f"{house.imports:.2f}",
        f"internal imports per module of {PACKAGE}.search": f"{house.imports_of_search:.2f}",
        "internal imports per module, those in functions and for types too": (
            f"{house.imports_written:.2f}"
        ),
        "comment lines per line of code": f"{house.comment_share:.1%}",
        "lines with dict[..., Any] in an annotation": house.n_untyped_lines,
        "import cycles": len(house.cycles),
        "import cycles, imports in functions too": len(house.cycles_when_run),
    }
    width = max(map(len, figures)) + 2
    lines = [f"{name:{width}}{value}" for name, value in figures.items()]
    for title, named in (
        ("longest modules", house.longest_modules),
        ("longest functions", house.longest_functions),
        (f"more than {MAX_PARAMETERS} parameters", house.many_parameters),
        ("commands with more", house.commands_with_many_parameters),
    ):
        lines += ["", title, *(f"{one.count:6}  {one.name}" for one in named)]
    for title, groups in (
        ("cycles", house.cycles),
        ("cycles, imports in functions too", house.cycles_when_run),
    ):
        lines += ["", title, *(f"  {' '.join(group)}" for group in groups)] if groups else []
    return "\n".join(lines)


def main() -> None:
    """Print the figures of a checkout."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).parent.parent
    parser.add_argument("root", nargs="?", type=Path, default=here, help="a checkout")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    try:
        house = measure(arguments.root)
    except FileNotFoundError as error:
        parser.error(str(error))
    print(json.dumps(asdict(house), indent=1) if arguments.json else table(house))


if __name__ == "__main__":
    main()
