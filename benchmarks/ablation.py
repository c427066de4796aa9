"""What each default is worth: one setting is changed, all others stay.

Trainings are long enough to be saturated, and are read at several points. Differences to the
defaults are paired over subjects. Trainings are kept in FOLDER; the same command goes on from
there.

    python -m benchmarks.ablation FOLDER [--workers 2] [--seeds 3] [--image-size 32]
"""

from __future__ import annotations

from benchmarks.paired import Counts, Predictions, asked, difference, joined, run, uf1
from dianet_ray.model.fit import LabelledImages, Member, fit
from dianet_ray.settings import Settings, Value

BASE = Settings(schedule="averaged", steps=800, points=3)
CHANGES: tuple[tuple[str, Value], ...] = (
    ("learning_rate", 1e-3),
    ("learning_rate", 6e-3),
    ("weight_decay", 1e-4),
    ("weight_decay", 1e-1),
    ("width", 8),
    ("width", 24),
    ("embedding", 32),
    ("embedding", 128),
    ("heads", 1),
    ("heads", 8),
    ("fusion", "concat"),
    ("normalisation", "minmax"),
    ("normalisation", "standard"),
    ("dropout", 0.0),
    ("dropout", 0.5),
    ("label_smoothing", 0.0),
    ("label_smoothing", 0.2),
    ("shift", 0.0),
    ("shift", 0.1),
    ("flip", False),
    ("erasing", 0.25),
    ("batch_size", 16),
    ("batch_size", 64),
    ("class_weights", False),
)
DEFAULTS = "defaults"


def main() -> None:
    """Train, print."""
    _print(run(asked(str(__doc__).splitlines()[0]), "ablation", train_fold))


def train_fold(clips: LabelledImages, member: Member) -> Predictions:
    """Train one fold by the defaults and every change."""
    ways = {DEFAULTS: BASE}
    ways |= {f"{k} {value}": BASE.model_copy(update={k: value}) for k, value in CHANGES}
    found: Predictions = {}
    for name, settings in ways.items():
        (fitted,) = fit(settings, clips, [member])
        found |= {f"{name} {shown.steps}": shown.probabilities for shown in fitted.shown}
    return found


def _print(found: dict[int, Counts]) -> None:
    sizes = [f"{n} subjects |" for n in found]
    print("| setting | steps |", *sizes, "mean |")
    for points in BASE.shown_at:
        scores = [f"{uf1(counts[f'{DEFAULTS} {points}']):.1f} |" for counts in found.values()]
        print(f"| {DEFAULTS} | {points} |", *scores, "|")
    for name, value in CHANGES:
        for points in BASE.shown_at[1:]:
            both = f"{name} {value} {points}", f"{DEFAULTS} {points}"
            differences = [difference(counts, *both) for counts in found.values()]
            cells = [f"{each} |" for each in (*differences, joined(differences))]
            print(f"| {name}: {value} | {points} |", *cells)


if __name__ == "__main__":
    main()
