"""The figures of the report page, each as a data URI: nothing outside the page is needed."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dianet_ray.imaging.display import png
from dianet_ray.protocol.predictions import Chance
from dianet_ray.report.records import Calibration, Champion, SearchPoint, SubjectScore
from dianet_ray.report.wording import METRIC_NAMES, show

INK, MUTED, BLUE, ORANGE, GREY = "#1f2933", "#7b8794", "#2b6cb0", "#c05621", "#cbd2d9"
# A dictionary for rc_context: matplotlib's global style stays as the caller has it.
STYLE = {
    "svg.hashsalt": "dianet-ray",  # with no date, the same report gives the same bytes
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
N_COLUMNS = 4  # of slices
N_TICKS = 5  # numbers that are ticked one by one; more are an axis
WIDE = 20.0  # the ratio of ends from which an axis is logarithmic
PLAIN_METADATA = {"Date": None, "Creator": None}


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Draw a confusion matrix: counts, shaded by the share of the true class."""
    matrix = np.array(counts)
    # Shares, because classes differ in size: by counts the largest class alone would be dark.
    shares = matrix / matrix.sum(axis=1, keepdims=True)

    def draw(axes: Axes) -> None:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if shares[row, column] > 0.5 else INK
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
        places = range(len(classes))
        names = [_literal(name) for name in classes]
        axes.set_xticks(places, names, rotation=30, ha="right")
        axes.set_yticks(places, names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    side = 1.8 + 0.62 * len(classes)
    return _svg(draw, width=side + 0.6, height=side)


def per_subject(subjects: Mapping[str, SubjectScore], accuracy: float) -> str:
    """Draw each subject's accuracy, best first, and the accuracy over all clips."""
    # Ascending, because barh draws from the bottom up.
    ordered = sorted(subjects.items(), key=lambda item: (item[1].accuracy, item[0]))
    names = [_literal(f"{name} ({found.clips})") for name, found in ordered]
    values = [found.accuracy for _, found in ordered]

    def draw(axes: Axes) -> None:
        axes.barh(range(len(names)), values, color=BLUE, height=0.7)
        axes.axvline(accuracy, color=ORANGE, linewidth=1.2)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.set_xlim(0, 1)
        axes.set_xlabel("accuracy (line: all clips together)")

    return _svg(draw, width=6, height=0.9 + 0.2 * len(names))


def calibration(found: Calibration) -> str:
    """Draw how often predictions of a probability are right, and the line where they should be."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=ORANGE, linewidth=1.2)
        widths = [one.range[1] - one.range[0] for one in found.bins]
        lows = [one.range[0] for one in found.bins]
        axes.bar(lows, [one.accuracy for one in found.bins], widths, align="edge", color=BLUE)
        for one in found.bins:
            axes.text(one.range[0], one.accuracy, f" {one.clips}", va="bottom", fontsize=8)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("probability of the predicted class")
        axes.set_ylabel("share that is right")

    return _svg(draw, width=4.5, height=3.2)


def search_curve(points: Sequence[SearchPoint], metric: str) -> str:
    """Draw what the best of the first configurations scores, as it is and corrected."""

    def draw(axes: Axes) -> None:
        sizes = [one.configurations for one in points]
        axes.plot(sizes, [one.score for one in points], "o-", color=BLUE, label="score")
        corrected = [one.corrected for one in points]
        axes.plot(sizes, corrected, "o-", color=ORANGE, label="corrected")
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_ylim(0, 1)
        axes.set_xlabel("configurations, in drawing order")
        axes.set_ylabel(METRIC_NAMES[metric])
        axes.legend(frameon=False)

    return _svg(draw, width=6, height=2.8)


def ranking(
    scores: Sequence[float], champion: Champion, *, metric: str, chance: Mapping[str, Chance]
) -> str:
    """Draw the scores of all complete configurations, best first, with what they mean.

    Args:
        scores: of one metric, in the order of the ranking.
        champion: the first of them.
        metric: which one, of METRICS.
        chance: what guessing scores, by metric.
    """

    def draw(axes: Axes) -> None:
        places = np.arange(1, len(scores) + 1)
        axes.plot(places, scores, "o", color=BLUE, markersize=4, label="one configuration")
        interval = champion.ci95[metric]
        axes.plot([1, 1], interval, color=BLUE, linewidth=2, label="95 % of the champion")
        if champion.corrected:
            expected = champion.corrected[metric].estimate
            axes.axhline(expected, color=ORANGE, linewidth=1.2, label="corrected")
        level = chance[metric].level
        axes.axhline(level, color=MUTED, linewidth=1.2, linestyle="--", label="chance")
        _frame_ranking(axes, len(scores))
        axes.set_ylabel(METRIC_NAMES[metric])

    return _svg(draw, width=6, height=3.2)


def _frame_ranking(axes: Axes, n: int) -> None:
    axes.set_xlim(0.3, n + 0.7)
    # The whole scale, so that small differences look small.
    axes.set_ylim(0, 1)
    axes.set_xlabel("complete configurations, best first")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))


def slices(
    settings: Sequence[Mapping[str, Any]], scores: Sequence[float], names: Sequence[str], best: int
) -> str:
    """Draw the score of every configuration against each of some settings, side by side.

    Args:
        settings: of every configuration.
        scores: of every configuration.
        names: of the settings, at least one.
        best: the place of the champion.
    """

    def draw(panels: np.ndarray) -> None:
        for axes, name in zip(panels.flat, names, strict=False):
            values = [one[name] for one in settings]
            _slice(axes, values, scores, best)
            axes.set_xlabel(_literal(name.replace("_", " ")), fontsize=8)
        for axes in panels.flat[len(names) :]:
            axes.set_visible(False)

    n_rows = -(-len(names) // N_COLUMNS)
    return _panels(draw, (n_rows, N_COLUMNS), width=7.5, height=1.8 * n_rows)


def _slice(axes: Axes, values: Sequence[Any], scores: Sequence[float], best: int) -> None:
    is_numeric = not any(isinstance(value, bool | str) for value in values)
    kinds = sorted(set(values))
    if is_numeric and len(kinds) > N_TICKS:
        places = list(values)
        if kinds[0] > 0 and kinds[-1] / kinds[0] > WIDE:
            axes.set_xscale("log")
    else:
        places = [kinds.index(value) for value in values]
        axes.set_xticks(range(len(kinds)), [_literal(show(kind)) for kind in kinds])
        axes.set_xlim(-0.5, len(kinds) - 0.5)
    axes.plot(places, scores, "o", color=BLUE, markersize=3, alpha=0.6)
    axes.plot(places[best], scores[best], "o", color=ORANGE, markersize=5)
    axes.set_ylim(0, 1)
    axes.tick_params(labelsize=7)


def picture(image: np.ndarray, region: np.ndarray | None = None) -> str:
    """Show a dynamic image, (H, W, 3) floats of any scale, with a region (h, w), 0..1, in red."""
    return _uri(png(image, region), "image/png")


def _svg(draw: Callable[[Axes], None], *, width: float, height: float) -> str:
    """Draw on one pair of axes, `width` x `height` in inches."""
    return _panels(lambda panels: draw(panels.item()), (1, 1), width=width, height=height)


def _panels(
    draw: Callable[[np.ndarray], None], shape: tuple[int, int], *, width: float, height: float
) -> str:
    """Draw on rows and columns of axes, `width` x `height` in inches together."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        # No pyplot: it keeps global state and every figure that it makes.
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots(*shape, squeeze=False))
        figure.savefig(buffer, format="svg", metadata=PLAIN_METADATA, transparent=True)
    return _uri(buffer.getvalue(), "image/svg+xml")


def _literal(name: str) -> str:
    """Keep matplotlib from reading a name as a formula."""
    return name.replace("$", r"\$")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
