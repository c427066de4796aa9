"""What each default is worth, or each ingredient: something is changed, all the rest stays.

Trainings are long enough to be saturated, and are read at several points. Differences to the
defaults are paired over subjects. Trainings are kept in FOLDER; the same command goes on from
there. `--of ingredients` tries what the defaults leave out, `--of bounds` what lies at or beyond
the ends of the space `dianet`, `--of pretrained` a larger network with weights of ImageNet.

    python -m benchmarks.ablation FOLDER [--of defaults|ingredients|bounds|pretrained]
        [--only TEXT] [--workers 2] [--seeds 3] [--image-size 32] [--subjects 12 26 68]
        [--data-seed 0]

To try again what looked good: `--only clip_norm --data-seed 100`, in another FOLDER.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial

from benchmarks.paired import Counts, Predictions, asked, difference, joined, run, uf1
from dianet_ray.model.fit import LabelledImages, Member, fit
from dianet_ray.model.pretrained import imagenet_file, read_weights
from dianet_ray.settings import Settings, Value

BASE = Settings(schedule="averaged", steps=800, points=3)
Change = dict[str, Value]
EFFICIENTNET: Change = {"backbone": "efficientnet_lite0", "width": 32, "steps": 100, "points": 1}
IMAGENET: Change = {"pretrained": "imagenet"}
CHANGES: dict[str, tuple[Change, ...]] = {
    "defaults": (
        {"learning_rate": 1e-3},
        {"learning_rate": 6e-3},
        {"weight_decay": 1e-4},
        {"weight_decay": 1e-1},
        {"width": 8},
        {"width": 24},
        {"embedding": 32},
        {"embedding": 128},
        {"heads": 1},
        {"heads": 8},
        {"fusion": "concat"},
        {"normalisation": "minmax"},
        {"normalisation": "standard"},
        {"dropout": 0.0},
        {"dropout": 0.5},
        {"label_smoothing": 0.0},
        {"label_smoothing": 0.2},
        {"shift": 0.0},
        {"shift": 0.1},
        {"flip": False},
        {"erasing": 0.25},
        {"batch_size": 16},
        {"batch_size": 64},
        {"class_weights": False},
    ),
    "ingredients": (
        {"backbone": "shallow"},
        {"shared_streams": True},
        {"fusion": "sum"},
        {"fusion": "late"},
        {"phases": "three"},
        {"layers": 2},
        {"gate": True},
        {"loss": "focal"},
        {"loss": "class_balanced"},
        {"mixup": 0.2},
        {"rotation": 5.0},
        {"scale": 0.05},
        {"optimiser": "sgd", "learning_rate": 3e-2},
        {"schedule": "one_cycle", "points": 1},
        {"clip_norm": 1.0},
        {"backbone_lr": 0.3},
    ),
    "bounds": (
        {"learning_rate": 1e-2},
        {"width": 32},
        {"embedding": 16},
        {"batch_size": 128},
    ),
    "pretrained": (
        EFFICIENTNET,
        EFFICIENTNET | IMAGENET,
        EFFICIENTNET | IMAGENET | {"normalisation": "minmax"},
        EFFICIENTNET | IMAGENET | {"backbone_lr": 0.1},
        EFFICIENTNET | IMAGENET | {"frozen_stages": 9},
    ),
}
DEFAULTS = "defaults"


def main() -> None:
    """Train, print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--of", choices=CHANGES, default=DEFAULTS)
    parser.add_argument("--only", metavar="TEXT", default="", help="changes with it in their name")
    given, rest = asked(parser)
    changes = tuple(change for change in CHANGES[rest.of] if rest.only in name_of(change))
    found = run(given, f"ablation-{rest.of}", partial(train_fold, changes))
    _print(found, changes)


def name_of(change: Change) -> str:
    """Name a change.

    >>> name_of({"optimiser": "sgd", "learning_rate": 3e-2})
    'optimiser: sgd, learning_rate: 0.03'
    """
    return ", ".join(f"{key}: {value}" for key, value in change.items())


def train_fold(changes: tuple[Change, ...], clips: LabelledImages, member: Member) -> Predictions:
    """Train one fold by the defaults and every change."""
    ways = {DEFAULTS: BASE}
    ways |= {name_of(change): Settings(**BASE.values() | change) for change in changes}
    found: Predictions = {}
    for name, settings in ways.items():
        has_weights = settings.pretrained == "imagenet"
        weights = read_weights(imagenet_file()) if has_weights else None
        (fitted,) = fit(settings, clips, [replace(member, pretrained=weights)])
        found |= {f"{name} {shown.steps}": shown.probabilities for shown in fitted.shown}
    return found


def _print(found: dict[int, Counts], changes: tuple[Change, ...]) -> None:
    sizes = [f"{n} subjects |" for n in found]
    print("| setting | steps |", *sizes, "mean |")
    for points in BASE.shown_at:
        scores = [f"{uf1(counts[f'{DEFAULTS} {points}']):.1f} |" for counts in found.values()]
        print(f"| {DEFAULTS} | {points} |", *scores, "|")
    for change in changes:
        name = name_of(change)
        for points in BASE.model_copy(update=change).shown_at[-2:]:
            # Shorter trainings are compared with the end of the defaults'.
            other = points if points in BASE.shown_at else BASE.steps
            both = f"{name} {points}", f"{DEFAULTS} {other}"
            differences = [difference(counts, *both) for counts in found.values()]
            cells = [f"{each} |" for each in (*differences, joined(differences))]
            print(f"| {name} | {points} |", *cells)


if __name__ == "__main__":
    main()
