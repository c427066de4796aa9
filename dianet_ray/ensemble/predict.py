"""Predict clips with a collected model folder: frames in, class probabilities out.

Image size and coefficients come from the card, normalisation from the weights. A person who was
in the study is judged only by the fold models that never saw that person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from dianet_ray.datasets.subjects import COMPOSITES, EXAMPLES, full_name
from dianet_ray.ensemble.card import Card, read, subject_hash
from dianet_ray.errors import InputError, one_line
from dianet_ray.imaging.clip_images import Recipe, Span, clip_images
from dianet_ray.imaging.frames import FrameError, UnfitError, frame_numbers
from dianet_ray.model import fit
from dianet_ray.prepare.images import fingerprint


@dataclass(frozen=True, slots=True)
class Moments:
    """Frame numbers of a clip; `apex_from` is `given` or `spot`."""

    onset: int
    apex: int
    offset: int
    apex_from: str


def predict(  # noqa: PLR0913 - one flag each
    model: Path,
    clips: Sequence[Path],
    *,
    onset: int | None = None,
    apex: int | None = None,
    offset: int | None = None,
    subject: str | None = None,
) -> list[dict[str, Any]]:
    """Predict clips with the fold models that may judge them.

    Args:
        model: a collected model folder.
        clips: folders of frames, or videos.
        onset: number of the first frame; the folder's first one by default.
        apex: number of the apex frame; spotted by default, the frame of largest motion.
        offset: number of the last frame; the folder's last one by default.
        subject: who it is, in any way that the data set writes it (`1`, `sub01`,
            `casme2/sub01`).

    Returns:
        One JSON-able dict per clip: clip, onset, apex, offset, apex_from, probabilities by class,
        label, n_models, models (`all` or `held-out only`) and note.

    Raises:
        InputError: a damaged model folder, frames that cannot be used, numbers out of order,
            or flags for more than one clip; one line.
    """
    if len(clips) > 1 and any(flag is not None for flag in (onset, apex, offset)):
        raise InputError(f"--onset, --apex and --offset describe one clip: got {len(clips)} clips")
    card = read(model)
    weights = _load(model, card)
    found = []
    for clip in clips:
        moments, images = _images(clip, card, (onset, apex, offset))
        voters, models, note = choose_voters(card, images, subject)
        votes = fit.predict(
            card.settings,
            [weights[i] for i in voters],
            images[None],
            n_classes=len(card.classes),
        )
        found.append(_answer(clip, moments, card, votes[:, 0].mean(axis=0)))
        found[-1] |= {"n_models": len(voters), "models": models, "note": note}
    return found


def choose_voters(
    card: Card, images: np.ndarray, subject: str | None
) -> tuple[list[int], str, str]:
    """Choose the folds whose models may judge a clip.

    Returns:
        Their indices in the card, `all` or `held-out only`, and why, in words.

    Raises:
        InputError: the images are of another person of the study than the one named.
    """
    known = {person for fold in card.folds for person in fold.test_subjects}
    if subject is not None and "/" not in subject and card.dataset in COMPOSITES:
        form = EXAMPLES[card.dataset]
        raise InputError(f"--subject of {card.dataset} names the data set too ({form}): {subject}")
    name = None if subject is None else full_name(card.dataset, subject)
    named = None if name is None else subject_hash(name)
    seen = card.clips.get(fingerprint(images))
    people = {person for person in (named, seen) if person in known}
    if len(people) > 1:
        raise InputError(f"--subject {name}: these images are of another person of the study")
    if people:
        voters = [i for i, fold in enumerate(card.folds) if people <= set(fold.test_subjects)]
        who = f"{name} is in the study" if seen is None else "these images are in the study"
        return voters, "held-out only", f"{who}: only models that never saw this person vote"
    everyone = list(range(len(card.folds)))
    if name is not None:
        form = EXAMPLES.get(card.dataset, f"{card.dataset}/NAME")
        note = f"no person of the study is named {name} (names look like {form}): all models vote"
        return everyone, "all", note
    return everyone, "all", "these images are not in the study: all models vote"


def _load(model: Path, card: Card) -> list[dict[str, Any]]:
    try:
        return [fit.load_weights(model / fold.file) for fold in card.folds]
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"the model files in {model} cannot be read: {one_line(error)}") from None


def _images(
    clip: Path, card: Card, flags: tuple[int | None, int | None, int | None]
) -> tuple[Moments, np.ndarray]:
    how = card.preprocessing
    try:
        span = _span(clip, flags)
        made = clip_images(clip, span, Recipe(how.image_size, how.coefficients, how.crop))
    except UnfitError as error:
        raise InputError(f"{error}, in {clip}") from None
    except FrameError as error:
        raise InputError(str(error)) from None
    apex_from = "spot" if flags[1] is None else "given"
    return Moments(span[0], made.apex, span[2], apex_from), made.images


def _span(clip: Path, flags: tuple[int | None, int | None, int | None]) -> Span:
    """Fill in the ends that were not given, and check the order."""
    numbers = frame_numbers(clip)
    if not numbers:
        raise InputError(
            "a clip is a folder of numbered jpg, png or bmp frames, or an mp4 or avi video: "
            f"none in {clip}"
        )
    onset = numbers[0] if flags[0] is None else flags[0]
    offset = numbers[-1] if flags[2] is None else flags[2]
    apex = flags[1]
    inside = offset - onset >= 2 if apex is None else onset < apex < offset
    if not inside:
        said = "a frame between" if apex is None else str(apex)
        raise InputError(
            f"a clip has onset < apex < offset: got {onset}, {said}, {offset}, in {clip}"
        )
    return onset, apex, offset


def _answer(clip: Path, moments: Moments, card: Card, mean: np.ndarray) -> dict[str, Any]:
    return {
        "clip": str(clip),
        "onset": moments.onset,
        "apex": moments.apex,
        "offset": moments.offset,
        "apex_from": moments.apex_from,
        "probabilities": dict(zip(card.classes, map(float, mean), strict=True)),
        "label": card.classes[int(mean.argmax())],
    }
