"""Draw the README's picture: one clip's dynamic images beside the report page of the demo.

    make demo
    python -m benchmarks.picture runs/demo docs/images/overview.png

Needs Chromium, which turns the page into a picture. The clip is the data set's first that shows
surprise, because both of its phases are easy to see.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from dianet_ray.imaging.display import pixels
from dianet_ray.imaging.frames import read_frames
from dianet_ray.imaging.rank_pooling import scaled_coefficients

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGE_PX = (860, 1060)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@dataclass(frozen=True, slots=True)
class Example:
    """The frames onset..offset of a clip, (T, H, W, 3) uint8; `apex` is an index into them."""

    label: str
    frames: np.ndarray
    apex: int

    def dynamic_image(self, first: int, last: int) -> np.ndarray:
        """Pool the frames first..last, both included, into a picture (H, W, 3) uint8."""
        weights = scaled_coefficients(last - first + 1)
        pooled = np.tensordot(weights, self.frames[first : last + 1].astype(np.float64), axes=1)
        return pixels(pooled)


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="the folder that `dianet-ray demo` filled")
    parser.add_argument("out", type=Path, help="the PNG to write")
    arguments = parser.parse_args()
    page = screenshot(arguments.demo / "report.html")
    draw(example(arguments.demo), page, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1000:.0f} kB")


def example(demo: Path, label: str = "surprise") -> Example:
    """Read the first clip of the demo that shows an emotion."""
    with (demo / "images" / "manifest.csv").open(newline="") as rows:
        row = next(r for r in csv.DictReader(rows) if r["label"] == label and r["state"] == "used")
    onset, apex, offset = (int(row[name]) for name in ("onset", "apex", "offset"))
    folder = demo / "data" / "people" / row["frames_path"]
    frames = np.stack(list(read_frames(folder, range(onset, offset + 1))))
    return Example(label, frames, apex - onset)


def screenshot(page: Path) -> np.ndarray:
    """Render the top of a page: (H, W, 3) uint8 RGB.

    Raises:
        SystemExit: no Chromium is installed.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"a page screenshot needs one of {', '.join(BROWSERS)}: none is on PATH")
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "page.png"
        width, height = PAGE_PX
        command = [browser, *FLAGS, f"--user-data-dir={scratch}/profile"]
        command += [f"--screenshot={target}", f"--window-size={width},{height}"]
        subprocess.run([*command, page.absolute().as_uri()], check=True, capture_output=True)
        return np.asarray(cv2.imread(str(target)))[..., ::-1]


def draw(clip: Example, page: np.ndarray, out: Path) -> None:
    """Put the moments and both dynamic images of a clip beside a page."""
    matplotlib.use("agg")
    last = len(clip.frames) - 1
    figure = pyplot.figure(figsize=(11.6, 6.6), dpi=92, facecolor="white")
    moments = {"onset": 0, "apex": clip.apex, "offset": last}
    for place, (name, index) in enumerate(moments.items()):
        _show(
            figure.add_axes((0.015 + 0.155 * place, 0.62, 0.145, 0.27)), clip.frames[index], name
        )
    phases = {"onset to apex": (0, clip.apex), "apex to offset": (clip.apex, last)}
    for place, (name, ends) in enumerate(phases.items()):
        axes = figure.add_axes((0.015 + 0.2325 * place, 0.09, 0.2225, 0.41))
        _show(axes, clip.dynamic_image(*ends), name)
    _show(figure.add_axes((0.505, 0.015, 0.485, 0.905)), page, "")
    figure.text(0.015, 0.945, f"a clip ({clip.label}, from synth) ...", fontsize=13)
    figure.text(0.015, 0.535, "... becomes two dynamic images ...", fontsize=13)
    figure.text(0.505, 0.945, "... and a search over many trainings becomes a report", fontsize=13)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    _reduce(out)


def _show(axes: Axes, image: np.ndarray, name: str) -> None:
    axes.imshow(image, interpolation="lanczos" if len(image) > PAGE_PX[0] else "nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(name, fontsize=11)


def _reduce(path: Path) -> None:
    """Rewrite a PNG with the strongest compression."""
    cv2.imwrite(str(path), cv2.imread(str(path)), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
