"""The report as one plain web page that needs nothing but itself.

Reads the document of `report.summarise`, fills page.html.jinja, writes the file whole or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from dianet_ray.artefacts import METRICS, PHASES
from dianet_ray.progress import duration
from dianet_ray.protocol.study import Study
from dianet_ray.report import figures, savings
from dianet_ray.report.terminal import NAMES, part_lines, ranked, show, span, states, trainings
from dianet_ray.storage.outputs import write_file

MAX_EXAMPLES = 6
TEMPLATE = "page.html.jinja"

Example = tuple[str, str, np.ndarray]
"""Clip id, label, and (3, H, W, 3) dynamic images in the order of PHASES."""


def examples(study: Study, clip_ids: Sequence[str], images: np.ndarray) -> list[Example]:
    """Pick one clip of every class, the first by name, of at most six classes.

    Args:
        study: whose clips and classes to show.
        clip_ids: the names of the rows of `images`.
        images: (N, 3, H, W, 3) dynamic images.
    """
    place = {clip_id: index for index, clip_id in enumerate(clip_ids)}
    chosen = []
    for label, name in enumerate(study.classes[:MAX_EXAMPLES]):
        clip_id = min(clip.clip_id for clip in study.clips if clip.label == label)
        chosen.append((clip_id, name, images[place[clip_id]]))
    return chosen


def write(report: dict[str, Any], images: Sequence[Example] | None, path: Path) -> None:
    """Write the page.

    Args:
        report: the document of `report.summarise`.
        images: examples to show; None shows no image of a person, and says so.
        path: the HTML file.

    Raises:
        InputError: the file cannot be written.
    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(show=show, span=span, duration=duration)
    template = environment.from_string(
        files("dianet_ray.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    )
    html = template.render(
        report=report,
        metrics=METRICS,
        names=NAMES,
        states=states(report),
        rows=ranked(report),
        figures=_figures(report),
        images=_pictures(images or ()),
        parts=part_lines(report),
        flow=savings.lines(report),
        trainings=trainings(report),
    )
    write_file(path, html)


def _figures(report: dict[str, Any]) -> dict[str, str]:
    champion = report["champion"]
    if champion is None:
        return {}
    objective = report["objective"]
    scored = [row["rungs"][-1]["scores"][objective] for row in ranked(report)]
    return {
        "ranking": figures.ranking(scored, report, NAMES[objective]),
        "confusion": figures.confusion(champion["confusion"], list(report["dataset"]["classes"])),
        "per_subject": figures.per_subject(champion["per_subject"], champion["accuracy"]),
    }


def _pictures(images: Sequence[Example]) -> list[dict[str, Any]]:
    return [
        {
            "clip_id": clip_id,
            "label": label,
            "phases": [
                (phase.replace("_", " to ") if phase != "whole_clip" else "whole clip", uri)
                for phase, uri in zip(PHASES, map(figures.picture, phases), strict=True)
            ],
        }
        for clip_id, label, phases in images
    ]
