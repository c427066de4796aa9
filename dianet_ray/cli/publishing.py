"""Publish a study: its runs and models in MLflow, its report page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dianet_ray.artefacts import (
    DRIVER_FOLDER,
    LEDGER_FOLDER,
    STUDY_JSON,
    WEIGHTS_FOLDER,
    to_json,
)
from dianet_ray.ensemble import card
from dianet_ray.errors import InputError
from dianet_ray.options import TrackingOptions
from dianet_ray.prepare.images import Images, load_images
from dianet_ray.protocol.standing import Standing, standing_of
from dianet_ray.protocol.study import Study
from dianet_ray.report import page
from dianet_ray.search.study_file import load_study
from dianet_ray.storage.addresses import located
from dianet_ray.storage.outputs import output_files
from dianet_ray.tracking import store

if TYPE_CHECKING:
    from dianet_ray.tracking.champion import ModelCard
    from dianet_ray.tracking.projection import Projection

N_FACES = 3
"""How many example images `--log-faces` sends to MLflow."""


def outside(study: Path, *paths: Path | None) -> list[Path | None]:
    """Make the paths of outputs absolute; none may be a file of the study.

    Raises:
        InputError: as `output_files`.
    """
    own = [study / name for name in (LEDGER_FOLDER, WEIGHTS_FOLDER, DRIVER_FOLDER)]
    return output_files(paths, inputs=[study / STUDY_JSON], folders=own)


def track(path: Path, tracking: TrackingOptions) -> str:
    """Write a study to MLflow again from its ledger, and return the store's address.

    Raises:
        InputError: no study, a store that does not answer, or `--log-faces` without IMAGES.
    """
    study = load_study(path)
    uri = store.choose_uri(tracking.uri, path)
    images = images_of(study) if tracking.log_faces else None
    if tracking.log_faces and images is None:
        raise InputError(
            "--log-faces needs the images of the study, which are no longer in "
            f"{study.origin.images_path}"
        )
    # No lock: what is written is a function of the ledger, and writing twice changes nothing.
    publish(standing_of(study), path, uri, tracking, images=images)
    return uri


def publish(
    standing: Standing, path: Path, uri: str, tracking: TrackingOptions, *, images: Images | None
) -> None:
    """Bring MLflow up to date with a study, including its champion if there is one."""
    writer = projection(path, uri, tracking, images=images)
    if standing.champion() is None:
        writer.update(standing)
    else:
        writer.finish(standing, model_card(standing))


def model_card(standing: Standing, *, seeds: bool = False) -> ModelCard:
    """Describe the champion's models, with `seeds` its repeats too; importing takes a second."""
    from dianet_ray.report.document import summarise
    from dianet_ray.tracking.champion import ModelCard

    study = standing.study
    names = [clip.clip_id for clip in study.clips]
    prints = dict(zip(names, study.origin.fingerprints, strict=True))
    made = card.make(standing, summarise(standing, n_resamples=0), prints, seeds=seeds)
    return ModelCard(to_json(made), made.config_id, made.steps, made.recipe.image_size)


def projection(
    study_path: Path, uri: str, tracking: TrackingOptions, *, images: Images | None
) -> Projection:
    """Connect to MLflow and make the projection of a study; importing MLflow takes a second."""
    # The check comes before the import of MLflow, so a wrong address is refused at once.
    client = store.connect(uri)
    from dianet_ray.tracking.projection import Projection

    faces = None
    if tracking.log_faces and images is not None:
        names = images.clip_ids[:N_FACES]
        faces = dict(zip(names, images.images, strict=False))
    experiment = store.choose_experiment(tracking.experiment)
    return Projection(client, experiment, study_path, faces=faces)


def examples_of(
    standing: Standing, study_path: Path, *, trusts_code: bool
) -> list[page.Example] | None:
    """Take some dynamic images for the report page; None unless IMAGES is still where it was."""
    study = standing.study
    images = images_of(study)
    if images is None:
        return None
    from dianet_ray.ensemble.seen import with_regions  # imports torch, which takes a second

    shown = page.examples(study, images.clip_ids, images.images)
    return with_regions(standing, study_path, shown, trusts_code=trusts_code)


def images_of(study: Study) -> Images | None:
    """Load the images that a study was made from; None if they are gone or have changed."""
    try:
        images = load_images(located(study.origin.images_path))
    except InputError:
        return None
    # Other images would illustrate clips that the study never saw.
    return images if images.hash == study.identity.images else None
