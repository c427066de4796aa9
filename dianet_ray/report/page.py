"""The report as one self-contained web page.

Reads the report document, fills page.html.jinja, writes the file whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path

import jinja2
import numpy as np

from dianet_ray.artefacts import METRICS, PHASES
from dianet_ray.progress import count, duration
from dianet_ray.protocol.study import Study
from dianet_ray.report import figures, verdicts, wording
from dianet_ray.report.records import Report
from dianet_ray.storage import files

MAX_EXAMPLES = 6
TEMPLATE = "page.html.jinja"
PHASE_NAMES = {
    "onset_apex": "onset to apex",
    "apex_offset": "apex to offset",
    "whole_clip": "whole clip",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What to mark in an image of a clip: `region` (h, w), 0..1, of the phase at this place."""

    phase: int
    what: str
    region: np.ndarray


@dataclass(frozen=True, slots=True)
class Example:
    """A clip to show: `images` (3, H, W, 3) are its dynamic images in the order of PHASES.

    `marks` say where the champion looked, and `predicted` which class it predicted, where that is
    known.
    """

    clip_id: str
    label: str
    images: np.ndarray
    marks: tuple[Mark, ...] = ()
    predicted: str = ""

    def pictures(self) -> list[tuple[str, str]]:
        """Name each phase, and make a picture of its dynamic image."""
        names = [PHASE_NAMES[phase] for phase in PHASES]
        return list(zip(names, map(figures.picture, self.images), strict=True))

    def marked(self) -> list[tuple[str, str]]:
        """Name what is marked in each image, and make a picture of it."""
        return [
            (
                f"{PHASE_NAMES[PHASES[mark.phase]]}: {mark.what}",
                figures.picture(self.images[mark.phase], mark.region),
            )
            for mark in self.marks
        ]


def examples(study: Study, clip_ids: Sequence[str], images: np.ndarray) -> list[Example]:
    """Pick one clip of every class, of at most six classes.

    It is the first by name of a subject that is not shown yet, or the first one if all are.

    Args:
        study: whose clips and classes to show.
        clip_ids: the names of the rows of `images`.
        images: (N, 3, H, W, 3) dynamic images.
    """
    place = {clip_id: index for index, clip_id in enumerate(clip_ids)}
    chosen: list[Example] = []
    shown: set[str] = set()
    for label, name in enumerate(study.classes[:MAX_EXAMPLES]):
        of_class = (clip for clip in study.clips if clip.label == label)
        clip = min(of_class, key=lambda clip: (clip.subject in shown, clip.clip_id))
        shown.add(clip.subject)
        chosen.append(Example(clip.clip_id, name, images[place[clip.clip_id]]))
    return chosen


def write(report: Report, examples: Sequence[Example] | None, path: Path) -> None:
    """Write the page.

    Args:
        report: the report of a study.
        examples: clips to show; None shows no face, and says so.
        path: the HTML file.

    Raises:
        InputError: the file cannot be written.
    """
    html = _template().render(
        report=report,
        metrics=METRICS,
        names=wording.METRIC_NAMES,
        wording=wording,
        verdicts=verdicts,
        figures=_figures(report),
        examples=examples or (),
    )
    with files.writing(path):
        files.make_folder(path.parent)
        files.put(path, html.encode())


def _template() -> jinja2.Template:
    # Names and labels are the user's, so everything is escaped; a misspelt variable is an error.
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(
        show=wording.show,
        interval=wording.interval,
        duration=duration,
        count=count,
        score=lambda value: f"{value:.3f}",
        rounded=lambda value: f"{value:.2f}",
        spaced=lambda name: name.replace("_", " "),
    )
    # From the package, not from a path: the wheel may be a zip file.
    source = resources("dianet_ray.report").joinpath(TEMPLATE)
    return environment.from_string(source.read_text(encoding="utf-8"))


def _figures(report: Report) -> dict[str, str]:
    """Draw the figures of the champion, if there is one, by name."""
    champion, metric = report.champion, report.objective
    if champion is None:
        return {}
    scores = [config.scores.of(metric) for config in report.ranking]
    drawn = {} if not report.settings_effect else {"slices": _slices(report, champion.number)}
    return drawn | {
        "ranking": figures.ranking(scores, champion, metric=metric, chance=report.chance),
        "confusion": figures.confusion(champion.confusion, list(report.dataset.classes)),
        "per_subject": figures.per_subject(champion.per_subject, champion.accuracy),
        "calibration": figures.calibration(champion.calibration),
        "search_curve": figures.search_curve(report.search_curve, metric),
    }


def _slices(report: Report, champion: int) -> str:
    """Draw the scores in the first rung against every setting that varied."""
    found = [
        (config.number, config.settings.values(), first.of(report.objective))
        for config in report.configs
        if (first := config.rungs[0].scores) is not None
    ]
    numbers, settings, scores = zip(*found, strict=True)
    return figures.slices(settings, scores, list(report.settings_effect), numbers.index(champion))
