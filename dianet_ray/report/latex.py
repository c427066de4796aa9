r"""The champion's scores as a LaTeX table, for a paper.

The file holds one `table` environment and needs no package: \input{champion} in any document.
Names in letters that pdfLaTeX lacks, such as Chinese ones, need XeLaTeX and a font for them.
"""

from __future__ import annotations

from pathlib import Path

from dianet_ray.artefacts import METRICS
from dianet_ray.errors import InputError
from dianet_ray.progress import count
from dianet_ray.protocol.predictions import Interval
from dianet_ray.report.records import Champion, Report, Spread
from dianet_ray.report.wording import METRIC_NAMES
from dianet_ray.storage import files

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    }
)


def write_latex(report: Report, path: Path) -> None:
    """Write the table, whole or not at all.

    Raises:
        InputError: there is no champion, or the file cannot be written.
    """
    if report.champion is None:
        raise InputError(
            f"--latex needs a complete configuration: {report.study} has none of "
            f"{count(report.n_configs, 'configuration')}"
        )
    with files.writing(path):
        files.make_folder(path.parent)
        files.put(path, table(report, report.champion).encode())


def table(report: Report, champion: Champion) -> str:
    """Make the table: a row per metric, the objective first."""
    metrics = sorted(METRICS, key=lambda metric: metric != report.objective)
    seeds, nested, corrected = report.seeds, report.nested, champion.corrected
    columns = {"": [METRIC_NAMES[metric] for metric in metrics]}
    if seeds:
        columns[f"mean of {count(seeds.n, 'seed')}"] = [_mean(seeds.of(m)) for m in metrics]
    columns["score that chose it" if seeds else "score"] = [
        _cell(champion.of(metric), champion.ci95[metric]) for metric in metrics
    ]
    if corrected:
        columns["corrected"] = [_cell(corrected[m].estimate, corrected[m].ci95) for m in metrics]
    if nested:
        columns["nested"] = [_cell(nested.of(m), nested.ci95[m]) for m in metrics]
    columns["chance"] = [f"{report.chance[metric].level:.3f}" for metric in metrics]
    rows = [" & ".join(row) for row in zip(*columns.values(), strict=True)]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_caption(report)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
            r"\hline",
            " & ".join(columns) + r" \\",
            r"\hline",
            *(row + r" \\" for row in rows),
            r"\hline",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _cell(value: float, ends: Interval) -> str:
    return f"{value:.3f} [{ends[0]:.2f}, {ends[1]:.2f}]"


def _mean(found: Spread) -> str:
    if found.deviation is None:
        return f"{found.mean:.3f}"
    return f"${found.mean:.3f} \\pm {found.deviation:.3f}$"


def _caption(report: Report) -> str:
    data = report.dataset
    what = (
        f"{data.name}: {count(data.clips, 'clip')} of {count(data.subjects, 'subject')} in "
        f"{len(data.classes)} classes ({', '.join(data.classes)}). Leave one "
        "subject out, pooled over folds. Chosen from "
        f"{count(report.n_configs, 'configuration')}; 95 % intervals over subjects."
    )
    if report.champion is not None and report.champion.corrected:
        what += " Corrected: without the optimism of the choice."
    return escaped(what)


def escaped(text: str) -> str:
    r"""Write a text so that LaTeX prints it as it is.

    >>> escaped("happy_1 & 5 %")
    'happy\\_1 \\& 5 \\%'
    """
    return text.translate(_ESCAPES)
