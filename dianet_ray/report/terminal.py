"""The report on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dianet_ray.artefacts import METRICS
from dianet_ray.progress import count, duration
from dianet_ray.protocol.predictions import Interval
from dianet_ray.report import verdicts, wording
from dianet_ray.report.contrasts import Contrasts
from dianet_ray.report.records import Champion, Report, Scores, Seconds
from dianet_ray.report.wording import METRIC_NAMES, interval, show

N_ROWS = 10  # as many as on the page; --json lists all


def render(report: Report, console: Console) -> None:
    """Print a report as text and tables."""
    _say(console, _what(report))
    if report.champion is None:
        _say(console, ["No configuration is complete yet, so there is no champion."])
    else:
        console.print(_ranking(report))
        console.print(_result(report, report.champion))
        _say(console, _about(report, report.champion))
        console.print(_as_others_count(report))
    _say(console, [*wording.flow(report), *wording.fidelity(report), _costs(report.seconds)])


def _say(console: Console, lines: list[str]) -> None:
    for line in lines:  # names and labels are the user's: nothing in them is markup
        console.print(line, highlight=False, markup=False, emoji=False)


def _what(report: Report) -> list[str]:
    dataset = report.dataset
    classes = ", ".join(f"{name} {n}" for name, n in dataset.classes.items())
    lines = [
        f"{report.study}: {dataset.name}, {count(dataset.clips, 'clip')} of "
        f"{count(dataset.subjects, 'subject')} ({classes}); "
        f"{count(dataset.left_out, 'clip')} left out",
        f"{wording.configurations(report)}, {wording.trainings(report)}; strategy "
        f"{report.strategy}, protocol {report.protocol}, objective "
        f"{METRIC_NAMES[report.objective]}",
    ]
    lines += wording.failures(report)
    return lines + [line for line in (wording.surplus(report), wording.mixed(report)) if line]


def _ranking(report: Report) -> Table:
    # The objective first: its soft form is what the rows are sorted by.
    metrics = [report.objective, *(metric for metric in METRICS if metric != report.objective)]
    # Two settings fit beside three metrics in 80 columns.
    varied = list(report.settings_effect)[:2]
    rows = report.ranking
    title = count(len(rows), "complete configuration")
    if len(rows) > N_ROWS:
        title = f"Best {N_ROWS} of {title}"
    if len(rows) > 1:
        title += ", in the order in which they would be champion"
    table = Table(title=title, title_justify="left")
    for name in ("number", "config_id", *(METRIC_NAMES[metric] for metric in metrics), *varied):
        table.add_column(name, justify="left" if name == "config_id" else "right")
    for config in rows[:N_ROWS]:
        table.add_row(
            str(config.number),
            config.config_id,
            *(f"{config.scores.of(metric):.3f}" for metric in metrics),
            *(escape(show(config.settings.values()[name])) for name in varied),
            style="bold" if config is rows[0] else None,
        )
    return table


def _result(report: Report, champion: Champion) -> Table:
    table = Table(title=f"Champion: configuration {champion.number}", title_justify="left")
    corrected = ("corrected", "95 %") if champion.corrected else ()
    seeds = report.seeds
    again = (f"mean of {count(seeds.n, 'seed')}", "score that chose it") if seeds else ("score",)
    for name in ("", *again, "95 %", *corrected, "chance", "above chance"):
        table.add_column(name, justify="right" if name else "left")
    for metric in METRICS:
        expected = champion.corrected[metric] if champion.corrected else None
        table.add_row(
            METRIC_NAMES[metric],
            *((f"{seeds.of(metric).mean:.3f}",) if seeds else ()),
            f"{champion.of(metric):.3f}",
            interval(champion.ci95[metric]),
            *((f"{expected.estimate:.3f}", interval(expected.ci95)) if expected else ()),
            f"{report.chance[metric].level:.3f}",
            verdicts.above(report, metric),
        )
    return table


def _about(report: Report, champion: Champion) -> list[str]:
    settings = champion.settings.values().items()
    return [
        verdicts.intervals(champion),
        verdicts.corrected(champion, report.objective) or verdicts.not_corrected(report),
        *([report.verdict.text] if report.verdict else []),
        verdicts.chance(report),
        verdicts.above_legend(report),
        *filter(
            None,
            [
                verdicts.nested(report),
                verdicts.seeds(report),
                verdicts.defaults(report),
                verdicts.curve(report),
            ],
        ),
        f"Settings: {', '.join(f'{name} {show(value)}' for name, value in settings)}",
        *filter(None, [verdicts.at_bounds(report)]),
        *verdicts.classes(champion),
        verdicts.calibration(champion),
        *verdicts.datasets(champion),
        *filter(None, [verdicts.search_curve(report), verdicts.importance(report)]),
    ]


def _as_others_count(report: Report) -> Table:
    table = Table(title=f"As others count, {verdicts.NOT_OURS}", title_justify="left")
    table.add_column("how")
    for name in (METRIC_NAMES[report.objective], "points more", "leaks"):
        table.add_column(name, justify="right")
    for how, score, points, leaks in verdicts.as_others_count(report):
        table.add_row(how, f"{score:.3f}", f"{points:+.1f}", leaks)
    return table


def render_contrasts(found: Contrasts, console: Console) -> None:
    """Print comparisons of configurations as a table."""
    first = found.comparison[0]
    title = f"{escape(first.a)} less others, over the same {count(found.subjects, 'subject')}"
    table = Table(title=title, title_justify="left")
    # The objective first, as in the ranking.
    metrics = [found.objective, *(metric for metric in METRICS if metric != found.objective)]
    for name in ("configuration", ""):
        table.add_column(name)
    for name in ("score", "95 %", "difference", "95 %", "p", "p (Holm)"):
        table.add_column(name, justify="right")

    def row(name: str, scores: Scores, ci95: dict[str, Interval], metric: str) -> list[str]:
        shown = escape(name) if metric == found.objective else ""
        ends = interval(ci95[metric])
        return [shown, METRIC_NAMES[metric], f"{scores.of(metric):.3f}", ends]

    about = {first.a: first.settings_a, **{one.b: one.settings_b for one in found.comparison}}
    _say(console, [f"{name}: {settings}" for name, settings in about.items() if settings])
    for metric in metrics:
        table.add_row(*row(first.a, first.scores_a, first.ci95_a, metric))
    for one in found.comparison:
        for metric in metrics:
            difference = one.difference[metric]
            table.add_row(
                *row(one.b, one.scores_b, one.ci95_b, metric),
                f"{difference.value:+.3f}",
                f"{difference.ci95[0]:+.2f} to {difference.ci95[1]:+.2f}",
                f"{difference.p:.3f}",
                f"{difference.p_holm:.3f}",
            )
    console.print(table)
    _say(console, [wording.CONTRASTS])


def _costs(spent: Seconds) -> str:
    line = (
        f"Time: the search ran {duration(spent.wall)}, trainings took {duration(spent.training)}"
    )
    if spent.startup is not None:
        line += f"; the first one started after {spent.startup:.1f} s"
    if spent.busy_fraction is not None:
        line += f"; workers were busy {100 * spent.busy_fraction:.1f} % of the time"
    return f"{line}."
