"""The report on a terminal."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dianet_ray.artefacts import METRICS
from dianet_ray.progress import duration
from dianet_ray.report import savings

N_ROWS = 10
NAMES = {"accuracy": "accuracy", "uf1": "UF1", "uar": "UAR"}


def render(report: dict[str, Any], console: Console) -> None:
    """Print a report (of `report.summarise`) for people."""
    for line in _what(report):
        console.print(line, highlight=False)
    champion = report["champion"]
    if champion is None:
        console.print("No configuration is complete yet: there is no champion.", highlight=False)
    else:
        console.print(_ranking(report))
        console.print(_result(report))
        for line in _champion(report):
            console.print(line, highlight=False)
    for line in [*savings.lines(report), *_costs(report)]:
        console.print(line, highlight=False)


def ranked(report: dict[str, Any]) -> list[dict[str, Any]]:
    """List the complete configurations by the sum over their rungs, best first."""
    done = [config for config in report["configs"] if config["state"] == "complete"]
    objective = report["objective"]
    return sorted(
        done, key=lambda c: (-sum(r["scores"][objective] for r in c["rungs"]), c["number"])
    )


def states(report: dict[str, Any]) -> str:
    """Count the configurations by state: '30 complete, 2 failed'."""
    counts = Counter(config["state"] for config in report["configs"])
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "none drawn"


def trainings(report: dict[str, Any]) -> str:
    """Count the trainings; only under one rung are there as many to do as LOSO folds."""
    n, every = report["n_trainings"], report["n_trainings_exhaustive"]
    if len(report["flow"]["rungs"]) == 1:
        return f"{n} of {every} trainings"
    return f"{n} trainings where every LOSO fold takes {every}"


def show(value: Any) -> str:
    """Write a setting's value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _what(report: dict[str, Any]) -> list[str]:
    dataset = report["dataset"]
    classes = ", ".join(f"{name} {n}" for name, n in dataset["classes"].items())
    lines = [
        f"[bold]{escape(report['study'])}[/]: {escape(dataset['name'])}, "
        f"{dataset['clips']} clips of {dataset['subjects']} people "
        f"({escape(classes)}); {dataset['left_out']} clips left out",
        f"{report['n_configs']} configurations ({states(report)}), {trainings(report)}, "
        f"{report['n_surplus']} surplus; "
        f"{report['strategy']}, {report['protocol']}, objective {NAMES[report['objective']]}",
    ]
    mixed = report["environment"]["mixed"]
    if mixed:
        lines.append(
            f"[yellow]mixed[/]: the trainings differ in {', '.join(mixed)}; "
            "they are equal to a repetition only up to rounding"
        )
    return lines


def _ranking(report: dict[str, Any]) -> Table:
    objective = report["objective"]
    metrics = [objective, *(metric for metric in METRICS if metric != objective)]
    varied = list(report["settings_effect"])[:2]
    rows = ranked(report)
    title = f"Best {min(N_ROWS, len(rows))} of {len(rows)} complete configurations"
    table = Table(title=title, title_justify="left")
    for name in ("number", "config_id", *(NAMES[metric] for metric in metrics), *varied):
        table.add_column(name, justify="left" if name == "config_id" else "right")
    for config in rows[:N_ROWS]:
        found = config["rungs"][-1]["scores"]
        table.add_row(
            str(config["number"]),
            config["config_id"],
            *(f"{found[metric]:.3f}" for metric in metrics),
            *(escape(show(config["settings"][name])) for name in varied),
            style="bold" if config is rows[0] else None,
        )
    return table


def _result(report: dict[str, Any]) -> Table:
    champion, chance = report["champion"], report["chance"]
    table = Table(title=f"Champion: configuration {champion['number']}", title_justify="left")
    for name in ("", "score", "95 %", "new people", "95 %", "chance", "above"):
        table.add_column(name, justify="left" if not name else "right")
    for metric in METRICS:
        new = (champion["corrected"] or {}).get(metric)
        table.add_row(
            NAMES[metric],
            f"{champion[metric]:.3f}",
            span(champion["ci95"][metric]),
            f"{new['estimate']:.3f}" if new else "as score",
            span(new["ci95"]) if new else "",
            f"{chance[metric]['level']:.3f}",
            "yes" if champion["above_chance"][metric] else "no",
        )
    return table


def part_lines(report: dict[str, Any]) -> list[str]:
    """Say what the champion scores on each data set of a composite; none for a single one."""
    if report["champion"] is None:
        return []
    return [
        f"{part}: {', '.join(f'{NAMES[m]} {found[m]:.3f}' for m in METRICS)} "
        f"({found['clips']} clips of {found['subjects']} people)"
        for part, found in report["champion"]["parts"].items()
    ]


def span(ends: list[float]) -> str:
    """Write an interval.

    >>> span([0.412, 0.6])
    '0.41 to 0.60'
    """
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


def _champion(report: dict[str, Any]) -> list[str]:
    champion = report["champion"]
    settings = ", ".join(f"{name} {show(value)}" for name, value in champion["settings"].items())
    recall = ", ".join(f"{name} {value:.2f}" for name, value in champion["recall"].items())
    if champion["corrected"]:
        corrected = "new people: the score corrected for choosing the best, by BBC-CV over people"
    else:
        corrected = "new people: one configuration to choose from, so nothing to correct"
    return [
        f"95 %: intervals over people; {corrected}",
        "chance: the larger of each fold's training majority and shuffled labels; "
        "above: the lower end of the score's interval is above it",
        f"settings: {escape(settings)}",
        f"recall: {escape(recall)}",
        *map(escape, part_lines(report)),
    ]


def _costs(report: dict[str, Any]) -> list[str]:
    spent = report["seconds"]
    line = f"time: {duration(spent['wall'])}, training {duration(spent['training'])}"
    if spent["startup"] is not None:
        line += f", start-up {spent['startup']:.1f} s"
    if spent["busy_fraction"] is not None:
        line += f", workers busy {spent['busy_fraction']:.3f}"
    return [line]
