"""Predict clips with a collected model folder: frames in, class probabilities out.

How images are made comes from the card, how they are normalised from the weights. The clips of a
subject of the study are predicted only by the fold models that subject was held out of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from dianet_ray.artefacts import CARD_JSON, Record
from dianet_ray.datasets.subjects import COMPOSITES, EXAMPLES, full_name
from dianet_ray.ensemble.card import Card, read, subject_hash
from dianet_ray.errors import InputError, one_line
from dianet_ray.imaging.clip_images import ClipImages, FrameSpan, clip_images
from dianet_ray.imaging.frames import FrameError, UnfitError, frame_numbers
from dianet_ray.model import fit
from dianet_ray.model.build import build
from dianet_ray.model.own_network import trust
from dianet_ray.model.weights import load_weights
from dianet_ray.prepare.images import fingerprint

Members = Literal["all", "held-out only"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Frame numbers of a clip as they were given.

    None means the first frame (onset), the last one (offset), or the frame of largest motion
    between them (apex).
    """

    onset: int | None = None
    apex: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The fold models that predict a clip: their places in the card, and why these, in words."""

    folds: tuple[int, ...]
    members: Members
    note: str


@dataclass(frozen=True, slots=True)
class Prediction(Record):
    """What the fold models predict of one clip, which is a path.

    Onset, apex and offset are frame numbers; `apex_from` says whether the apex was given or
    spotted. `probabilities` is by class, the mean over `n_models` fold models; `label` has the
    largest. `models` says which models those are, `note` why.
    """

    clip: str
    onset: int
    apex: int
    offset: int
    apex_from: Literal["given", "spot"]
    probabilities: dict[str, float]
    label: str
    n_models: int
    models: Members
    note: str


def predict(model: Path, clips: Sequence[Path], **options: Any) -> list[Prediction]:
    """Do what `predict_each` does, with all clips at once."""
    return list(predict_each(model, clips, **options))


def predict_each(
    model: Path,
    clips: Sequence[Path],
    *,
    moments: Moments | None = None,
    subject: str | None = None,
    trusts_code: bool = False,
) -> Iterator[Prediction]:
    """Predict clips, one after the other, with the fold models that may predict them.

    Args:
        model: a collected model folder.
        clips: folders of frames, or videos.
        moments: frame numbers, for one clip; found in the frames by default.
        subject: who it is, in any way that the data set writes it (`1`, `sub01`,
            `casme2/sub01`).
        trusts_code: run the network file of a model whose network a user wrote.

    Raises:
        InputError: a damaged model folder, or one with code that is not trusted, frames that
            cannot be used, numbers out of order, or numbers for more than one clip.
    """
    moments = moments or Moments()
    if len(clips) > 1 and moments != Moments():
        raise InputError(f"--onset, --apex and --offset describe one clip: got {len(clips)} clips")
    # Every file is hashed here, before torch reads any of them.
    card = read(model)
    if card.network is not None:
        if not trusts_code:
            raise InputError(
                f"this model runs the code of {card.network.name}, which its card holds: read it "
                f"({model / CARD_JSON}), then give --trust-code"
            )
        trust(card.network)
    weights = _load(model, card)
    _check_fit(model, card, weights)
    return (_predict_clip(clip, card, weights, moments, subject) for clip in clips)


def _predict_clip(
    clip: Path,
    card: Card,
    weights: Sequence[dict[str, Tensor]],
    moments: Moments,
    subject: str | None,
) -> Prediction:
    span, made = _images(clip, card, moments)
    choice = choose_models(card, made.images, subject)
    probabilities = fit.predict(
        card.settings,
        [weights[fold] for fold in choice.folds],
        made.images[None],
        n_classes=len(card.classes),
        # The mean of probabilities, as EnsembleModel computes it; a vote would need ties broken.
    )[:, 0].mean(axis=0)
    return Prediction(
        clip=str(clip),
        onset=span[0],
        apex=made.apex,
        offset=span[2],
        apex_from="spot" if moments.apex is None else "given",
        probabilities=dict(zip(card.classes, map(float, probabilities), strict=True)),
        label=card.classes[int(probabilities.argmax())],
        n_models=len(choice.folds),
        models=choice.members,
        note=choice.note,
    )


def choose_models(card: Card, images: np.ndarray, subject: str | None) -> Choice:
    """Choose the fold models that may predict a clip, (3, H, W, 3) dynamic images.

    Raises:
        InputError: the images are of another subject of the study than the one named.
    """
    # A model that has seen the subject in training would predict too well to say anything.
    name = None if subject is None else _full_name(card, subject)
    named = None if name is None else subject_hash(name)
    # The images identify a subject of the study even if --subject is missing or wrong.
    recognised = card.clips.get(fingerprint(images))
    in_study = {one for fold in card.folds for one in fold.test_subjects}
    found = {one for one in (named, recognised) if one in in_study}
    if len(found) > 1:
        raise InputError(
            f"--subject must be the subject of the clip: got {name}, but these images are of "
            "another subject of the study"
        )
    if found:
        who = f"{name} is in the study" if recognised is None else "these images are in the study"
        note = f"{who}: only models that never saw this subject are used"
        # LOSO: this is exactly one model, and its prediction is the held-out one of the study.
        folds = [i for i, fold in enumerate(card.folds) if found <= set(fold.test_subjects)]
        return Choice(tuple(folds), "held-out only", note)
    return Choice(tuple(range(len(card.folds))), "all", _unknown(card, name))


def _full_name(card: Card, subject: str) -> str:
    if "/" not in subject and card.dataset in COMPOSITES:
        form = EXAMPLES[card.dataset]
        raise InputError(
            f"--subject must name the data set too with a model of {card.dataset}, as in {form}: "
            f"got {subject}"
        )
    return full_name(card.dataset, subject)


def _unknown(card: Card, name: str | None) -> str:
    if name is None:
        return "these images are not in the study: all models are used"
    form = EXAMPLES.get(card.dataset, f"{card.dataset}/NAME")
    return f"no subject of the study is named {name} (names look like {form}): all models are used"


def _load(model: Path, card: Card) -> list[dict[str, Tensor]]:
    try:
        return [load_weights(model / fold.file) for fold in card.folds]
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"model files must be readable: {model}: {one_line(error)}") from None


def _check_fit(model: Path, card: Card, weights: Sequence[dict[str, Tensor]]) -> None:
    """Refuse weights that are not those of the card's network, or hold no numbers."""
    network = build(card.settings, len(card.classes), card.recipe.image_size)
    for fold, state in zip(card.folds, weights, strict=True):
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise InputError(
                f"weights must fit the network of {CARD_JSON}: {model / fold.file}: "
                f"{one_line(error)}"
            ) from None
        if not all(torch.isfinite(one).all() for one in state.values()):
            raise InputError(f"weights must be finite numbers: {model / fold.file}")


def _images(clip: Path, card: Card, moments: Moments) -> tuple[FrameSpan, ClipImages]:
    span = _span(clip, moments)
    try:
        return span, clip_images(clip, span, card.recipe)
    except UnfitError as error:
        raise InputError(f"{error}, in {clip}") from None
    except FrameError as error:
        raise InputError(str(error)) from None


def _span(clip: Path, moments: Moments) -> FrameSpan:
    """Fill in the ends that were not given, and check the order."""
    try:
        numbers = frame_numbers(clip)
    except FrameError as error:
        raise InputError(str(error)) from None
    if not numbers:
        raise InputError(
            "a clip must be a folder of numbered jpg, png or bmp frames, or an mp4 or avi video: "
            f"none in {clip}"
        )
    onset = numbers[0] if moments.onset is None else moments.onset
    offset = numbers[-1] if moments.offset is None else moments.offset
    apex = moments.apex
    # Two frames apart at least, so that a spotted apex has a frame to be in.
    is_ordered = offset - onset >= 2 if apex is None else onset < apex < offset
    if not is_ordered:
        between = "no apex given" if apex is None else f"apex {apex}"
        raise InputError(
            f"a clip needs onset < apex < offset: got onset {onset}, {between}, offset {offset}, "
            f"in {clip}"
        )
    return FrameSpan(onset, apex, offset)
