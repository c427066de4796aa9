"""The figures of a small package, counted by hand."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from benchmarks.house import Named, Spread, cycles, measure, spread, table
from benchmarks.source_code import read_modules

FILES = {
    "__init__.py": '"""Nothing but a docstring: no module."""\n',
    "one.py": '''\
        """Nine lines of code, one of them with a comment."""

        from typing import TYPE_CHECKING, Any

        import dianet_ray.two  # a comment beside code

        if TYPE_CHECKING:
            from dianet_ray.search.three import Three


        # A comment of its own.
        def outer(a: dict[str, Any], *rest: int, b: int = 0, **more: dict[str, int]) -> None:
            """Two lines of docstring,
            which do not count."""

            def inner():
                return dianet_ray.two

            text: dict[str, Any] = """no docstring,
            a value"""
        ''',
    "two.py": '''\
        """Imports one inside a function only."""

        from app import app


        class Thing:
            """A class."""

            field: "list[dict[str, int]]"
            """What a field means."""

            @property
            def method(self, a, b, c, d, e):
                from dianet_ray import one

                return one

            @classmethod
            async def other(cls, a, b, c, d, e, /, *, f): ...


        @app.command()
        def run(a, b, c, d, e, f, g): ...
        ''',
    "search/__init__.py": "",
    "search/three.py": """\
        import dianet_ray.one, dianet_ray.two
        from dianet_ray.search import four
        from dianet_ray.search.four import four as same, Mapping, Any

        def three(x: list[Mapping[str, list[Any]]]) -> Mapping[str, Any]: ...
        """,
    "search/four.py": "from dianet_ray.search import three, nothing\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "dianet_ray" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return tmp_path


def test_a_module_is_counted_line_by_line(checkout):
    one, two = (
        module
        for module in read_modules(checkout, "dianet_ray")
        if module.name in ("dianet_ray.one", "dianet_ray.two")
    )
    assert (one.n_lines, one.n_code, one.n_comments, one.n_untyped) == (20, 9, 2, 2)
    assert (two.n_lines, two.n_comments, two.n_untyped) == (23, 0, 0)
    assert two.n_code == 11  # neither the docstring of the class nor that of its field


def test_functions_are_measured_without_docstring_self_and_decorators(checkout):
    found = {
        function.name.removeprefix("dianet_ray."): (
            function.n_lines,
            function.n_parameters,
            function.is_command,
        )
        for module in read_modules(checkout, "dianet_ray")
        for function in module.functions
    }
    assert found == {
        "one:outer": (7, 4, False),
        "one:outer.inner": (2, 0, False),
        "two:Thing.method": (4, 5, False),
        "two:Thing.other": (1, 6, False),
        "two:run": (1, 7, True),
        "search.three:three": (1, 1, False),
    }


def test_imports_are_those_of_the_start_those_that_run_and_all_that_are_written(checkout):
    found = {module.name: module.imports for module in read_modules(checkout, "dianet_ray")}
    one, two = found["dianet_ray.one"], found["dianet_ray.two"]
    assert one.at_start == one.when_run == {"dianet_ray.two"}
    assert one.written == {"dianet_ray.two", "dianet_ray.search.three"}
    assert (two.at_start, two.when_run) == (frozenset(), {"dianet_ray.one"})
    three = found["dianet_ray.search.three"].at_start
    assert three == {"dianet_ray.one", "dianet_ray.two", "dianet_ray.search.four"}
    # What is no module is taken from the package, whose `__init__.py` is imported.
    assert found["dianet_ray.search.four"].at_start == {
        "dianet_ray.search.three",
        "dianet_ray.search",
    }


def test_the_figures_of_the_package(checkout):
    house = measure(checkout)
    assert house.n_modules == 4
    assert house.module_lines == Spread(12.5, 23, 23)
    assert house.longest_modules[0] == Named("dianet_ray.two", 23)
    assert (house.n_functions, house.function_lines) == (6, Spread(1.5, 7, 7))
    assert house.n_functions_above_limit == 0
    assert house.parameters == Spread(4, 6, 6)
    assert house.many_parameters == (Named("dianet_ray.two:Thing.other", 6),)
    assert house.commands_with_many_parameters == (Named("dianet_ray.two:run", 7),)
    assert house.imports == pytest.approx((1 + 0 + 3 + 2) / 4)
    assert house.imports_of_search == pytest.approx((3 + 2) / 2)
    assert house.imports_written == pytest.approx((2 + 1 + 3 + 2) / 4)
    assert house.n_untyped_lines == 3
    assert house.comment_share == pytest.approx(2 / (9 + 11 + 4 + 1))
    assert house.cycles == (("dianet_ray.search.four", "dianet_ray.search.three"),)
    assert house.cycles_when_run == (
        ("dianet_ray.one", "dianet_ray.two"),
        ("dianet_ray.search.four", "dianet_ray.search.three"),
    )


def test_a_function_above_the_limit_is_counted_and_named(checkout):
    body = "    x = 1\n" * 40
    (checkout / "dianet_ray" / "long.py").write_text(f'def long():\n    """Text."""\n{body}')
    house = measure(checkout)
    assert house.n_functions_above_limit == 1
    assert house.longest_functions[0] == Named("dianet_ray.long:long", 41)
    (checkout / "dianet_ray" / "long.py").write_text(f"def long():\n{body[10:]}")
    assert measure(checkout).n_functions_above_limit == 0


def test_a_cycle_is_a_whole_group():
    assert cycles({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a")}) == (
        ("a", "b", "c"),
    )
    assert cycles({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset()}) == ()


def test_nine_in_ten_do_not_exceed_the_90th_percentile():
    assert spread(range(1, 11)) == Spread(5.5, 9, 10)
    assert spread([]) == Spread(0, 0, 0)


def test_the_table_names_what_is_too_large(checkout):
    text = table(measure(checkout))
    assert "     7  dianet_ray.two:run\n" in text
    assert "\n  dianet_ray.search.four dianet_ray.search.three\n" in text


def run(*words):
    command = [sys.executable, "-m", "benchmarks.house", *words]
    root = Path(__file__).parent.parent
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_the_command_measures_another_checkout_as_json(checkout):
    document = json.loads(run(str(checkout), "--json").stdout)
    assert document["module_lines"] == {"median": 12.5, "p90": 23, "max": 23}


def test_a_folder_without_the_package_is_refused(tmp_path):
    found = run(str(tmp_path))
    assert found.returncode == 2
    assert "dianet_ray" in found.stderr
    assert str(tmp_path) in found.stderr
