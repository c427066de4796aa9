"""Every command, option and link that cluster/ shows exists; dry runs print what is recorded."""

import re

import pytest
import typer

from dianet_ray.cli.app import app
from tests.support.recipes import CLUSTER, FILES, README, RECORDS, run, shown

COMMANDS = {
    "local.txt": "cluster/local.sh --dry-run --workers 2 --cpus 4 --gpus 2 --dir '/tmp/a b'",
    "submit.txt": "cluster/submit.sh --dry-run --runtime-env casme2 '/data/CASME II' "
    "\"/shared/it's\" --apex spot -- --space dianet --set 'heads=$8'",
}


@pytest.mark.parametrize("record", COMMANDS)
def test_dry_runs_print_what_is_recorded(record):
    found = run("bash", "-c", COMMANDS[record])
    assert found.returncode == 0, found.stderr
    assert found.stdout == (RECORDS / record).read_text(), (
        f"if the change is meant, accept it with: {COMMANDS[record]} > tests/records/{record}"
    )


def flags_of(command):
    return {
        flag for parameter in command.params for flag in parameter.opts + parameter.secondary_opts
    }


OURS = typer.main.get_command(app).commands


def test_every_command_and_option_of_ours_exists():
    n_shown = 0
    for path, (name,), flags in shown(r"(?:dianet-ray|python -m dianet_ray) ([a-z]+)\b"):
        n_shown += 1
        assert name in OURS, f"{path}: {name}"
        assert set(flags) <= flags_of(OURS[name]), f"{path}: {name}"
    assert n_shown > 15


def test_the_recipes_pass_on_options_that_exist():
    n_shown = 0
    for path, _, flags in shown(r"sbatch cluster/slurm\.sbatch\b"):
        n_shown += 1
        assert set(flags) <= flags_of(OURS["search"]), path
    for path, (name,), flags in shown(r"(?<![\w/])cluster/(\w+)\.sh\b"):
        n_shown += 1
        own = set(re.findall(r"--[a-z-]+", run(CLUSTER / f"{name}.sh", "--help").stdout))
        assert set(flags) <= own | flags_of(OURS["prepare"]), path
    for found in re.findall(r"cluster/submit\.sh .* -- (.*)", README):
        assert set(re.findall(r"--[a-z-]+", found)) <= flags_of(OURS["search"])
    assert n_shown > 5


def test_every_option_of_ours_that_the_readme_names_exists():
    placement = README.split("## Placement")[1].split("\n## ")[0]
    named = set(re.findall(r"--[a-z-]+", placement))
    assert {"--gpus-per-trial", "--max-workers"} <= named
    assert named <= set().union(*map(flags_of, OURS.values()))


def test_every_ray_command_and_option_exists():
    from ray.scripts.scripts import cli

    n_shown = 0
    names = "start|stop|status|up|down|dashboard|get-auth-token|symmetric-run|job \\w+"
    for path, (name,), flags in shown(rf"(?<![\w./-])ray ({names})\b"):
        n_shown += 1
        command = cli
        for word in name.split():
            assert word in command.commands, f"{path}: ray {name}"
            command = command.commands[word]
        known = flags_of(command)
        if name == "symmetric-run":
            known |= flags_of(cli.commands["start"]) - {"--head", "--port", "--block"}
        assert set(flags) <= known, f"{path}: ray {name}"
    assert n_shown > 15


def test_relative_links_resolve():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert {link for link in links if "/" not in link} >= {"local.sh", "slurm.sbatch", "aws.yaml"}
    for link in links:
        assert (CLUSTER / link).exists(), link


def test_every_recipe_is_in_the_readme():
    for path in FILES:
        assert path.name in README or path.name == "runtime_env.py", path
