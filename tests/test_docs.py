"""The documents tell the truth: what they name exists, and what exists is named."""

import re
import subprocess
from pathlib import Path

import pytest
import typer

from dianet_ray.cli.app import app
from dianet_ray.search.space_file import load_space
from dianet_ray.settings import Settings, setting_names

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "cluster" / "README.md",
]
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
README, DECISIONS = ROOT / "README.md", ROOT / "docs" / "decisions.md"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
COMMANDS = typer.main.get_command(app).commands
PYTHON_PARTS = ("dianet_ray", "benchmarks", "tests")
CITATION = "docs/decisions.md"

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)


def options(command):
    return {
        flag
        for parameter in command.params
        for flag in (*parameter.opts, *parameter.secondary_opts)
    }


ALL_OPTIONS = set().union(*map(options, COMMANDS.values()))
FOREIGN_OPTIONS = {
    *("--app-name", "--artifacts-destination", "--backend-store-uri", "--host"),  # mlflow server
    "--serve-artifacts",
    *("--dashboard-agent-listen-port", "--temp-dir", "--working-dir"),  # ray
}
"""Options of other programs that stand in the text by themselves."""


def code_blocks(text):
    return re.findall(r"(?m)^```\w*\n(.*?)^```", text, re.DOTALL)


def shown_commands(text):
    """Our commands as a reader would type them, each as a list of words."""
    for block in code_blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|\s)(?:dianet-ray|python -m dianet_ray) (.*)", line)
            if found:
                yield re.sub(r"\s#.*", "", found[1]).split()


def headings(path):
    """A document's headings outside code, without their marks."""
    text = re.sub(r"(?m)^```.*?^```", "", path.read_text(), flags=re.DOTALL)
    return re.findall(r"(?m)^#+ (.+)$", text)


def anchors(path):
    """The fragments that GitHub makes of a document's headings."""
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings(path)}


def entries():
    """The decisions: heading to lines."""
    parts = re.split(r"(?m)^### (.+)$", DECISIONS.read_text())[1:]
    bodies = [re.split(r"(?m)^## ", body)[0] for body in parts[1::2]]
    return dict(zip(parts[::2], bodies, strict=True))


def python_files(*parts):
    return [path for part in parts for path in sorted((ROOT / part).rglob("*.py"))]


def citations(text):
    """What follows each mention of the decisions in code."""
    return re.findall(re.escape(CITATION) + r"(.{0,160})", text, re.DOTALL)


def is_citation(after, known):
    """Whether a colon and a heading follow, and then nothing on the line that continues one.

    A heading may be broken between two lines, of a comment too.
    """
    for heading in known:
        words = r"\s+(?:# )?".join(map(re.escape, heading.split()))
        if re.match(rf":\s+(?:# )?{words}(?![\w-]| \w)", after):
            return True
    return False


@each_document
def test_every_command_shown_exists_and_has_the_options_shown(path):
    text = path.read_text()
    for name in re.findall(r"`dianet-ray ([a-z]+)", text):
        assert name in COMMANDS, name
    for name, *words in shown_commands(text):
        if name == "COMMAND":
            continue
        assert name in COMMANDS, name
        unknown = {word for word in words if word.startswith("--")} - options(COMMANDS[name])
        assert not unknown, f"{name}: {unknown}"


@each_document
def test_every_option_named_in_the_text_exists(path):
    named = set(re.findall(r"`(--[a-z-]+)", path.read_text()))
    assert named - ALL_OPTIONS - FOREIGN_OPTIONS == set()


def test_the_readme_shows_every_command():
    for name in COMMANDS:
        assert f"dianet-ray {name}" in README.read_text(), name


@each_document
def test_every_relative_link_resolves(path):
    for target in re.findall(r"\]\((?!http)([^)]+)\)", path.read_text()):
        file, _, fragment = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        if fragment:
            assert fragment in anchors(there), target


@each_document
def test_every_path_named_exists(path):
    """Paths in code spans and code blocks that begin with one of our folders."""
    folders = "dianet_ray|benchmarks|tests|docs|cluster|search_spaces"
    named = re.findall(rf"(?<![\w/.-])((?:{folders})/[\w/.-]*[\w/])", path.read_text())
    for name in named:
        assert (ROOT / name).exists(), name
    for module in re.findall(r"python -m (benchmarks[\w.]*)", path.read_text()):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


@each_document
def test_nothing_is_left_to_fill_in(path):
    assert not re.findall(r"\b(?:TODO|FIXME|XXX|TBD)\b", path.read_text())


def test_the_architecture_names_every_module_by_its_path_and_no_other():
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in python_files("dianet_ray")
        if path.name != "__init__.py"
    }
    (tree,) = (b for b in code_blocks(ARCHITECTURE) if b.startswith("dianet_ray/"))
    listed = [line.split()[0] for line in tree.splitlines()]
    assert sorted(listed) == sorted(modules)
    assert all(len(line.split()) > 1 for line in tree.splitlines()), "a module without a line"


def test_the_readme_is_short():
    lines = README.read_text().splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 120] == []


def test_every_decision_is_short_and_says_question_choice_measurement_and_what_would_change_it():
    found = entries()
    assert found
    for heading, body in found.items():
        lines = [line for line in body.splitlines() if line.strip()]
        assert len(lines) <= 8, heading
        for part in ("Question", "Choice", "Measured", "Would change it"):
            assert f"**{part}.**" in body, f"{heading}: {part}"


def test_no_two_decisions_have_one_heading():
    found = headings(DECISIONS)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("line", "is_right"),
    [
        ("docs/decisions.md: A heading.", True),
        ("(docs/decisions.md: A heading)", True),
        ("docs/decisions.md: A heading\n    if True:", True),
        ("docs/decisions.md: A\n    # heading", True),
        ("docs/decisions.md:\n    A heading", True),
        ("docs/decisions.md: A heading of another entry", False),
        ("docs/decisions.md, A heading", False),
        ("docs/decisions.md", False),
    ],
)
def test_a_citation_is_told_from_other_text(line, is_right):
    (after,) = citations(f"# Why: {line}\n")
    assert is_citation(after, ["A heading"]) == is_right


@pytest.mark.parametrize("part", PYTHON_PARTS)
def test_every_decision_that_code_cites_exists(part):
    known = list(entries())
    for path in python_files(part):
        if path == Path(__file__):
            continue
        for after in citations(path.read_text()):
            assert is_citation(after, known), f"{path.relative_to(ROOT)}: {CITATION}{after}"


@pytest.mark.parametrize("part", PYTHON_PARTS)
def test_code_does_not_send_readers_to_sections_that_moved(part):
    """Decisions and measurements stood in the README once."""
    for path in python_files(part):
        assert not re.search(r"README, (?:Decisions|Measured|Protocol|Words)", path.read_text()), (
            path
        )


@pytest.mark.parametrize(
    "verb",
    sorted(
        {
            v
            for p in DOCUMENTS
            for v in re.findall(r"(?m)(?:^|`)make ([a-z][a-z-]+)", p.read_text())
        }
    ),
)
def test_every_make_verb_exists(verb):
    subprocess.run(["make", "-n", verb], cwd=ROOT, check=True, capture_output=True)


def test_the_example_of_a_space_can_be_loaded(tmp_path):
    (example,) = (
        block
        for block in code_blocks((ROOT / "docs" / "searching.md").read_text())
        if block.startswith("sampler:")
    )
    (tmp_path / "space.yaml").write_text(example)
    space = load_space(str(tmp_path / "space.yaml"))
    assert space.first_settings
    assert space.ladder


LIMITS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}
"""How the table of settings words the limits of a JSON schema."""


def allowed_values(rule):
    """What a setting's JSON schema allows, as the table of settings writes it."""
    if rule["type"] == "boolean":
        return "`true`, `false`"
    if "enum" in rule:
        return ", ".join(f"`{value}`" for value in rule["enum"])
    if rule["type"] == "string":
        return "text"
    limits = [words.format(f"{rule[key]:.10g}") for key, words in LIMITS.items() if key in rule]
    return ", ".join([rule["type"], *limits])


def test_the_tables_of_settings_are_those_of_the_code():
    text = (ROOT / "docs" / "searching.md").read_text()
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.+) \| (.+) \| `(.+)` \|$", text)
    schema = Settings.model_json_schema()["properties"]
    rules = {name: schema[name] for name in setting_names()}
    assert rows == [
        (name, rule["description"], allowed_values(rule), str(rule["default"]).lower())
        for name, rule in rules.items()
    ]


def test_the_picture_is_small():
    assert 0 < (ROOT / "docs" / "images" / "overview.png").stat().st_size < 300_000
