"""The champion in MLflow: one run per fold with its learning curve, model file and card."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from mlflow import MlflowClient

from dianet_ray.artefacts import CARD_JSON, PHASES, fold_file
from dianet_ray.errors import InputError
from dianet_ray.imaging.display import png
from dianet_ray.protocol.results import Training
from dianet_ray.protocol.study import Study
from dianet_ray.storage import files
from dianet_ray.tracking import content
from dianet_ray.tracking.runs import KnownRun, StudyRuns, make_run, write_run

FACES_FOLDER = "faces"
FACES_TAG = "dianet.faces"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The champion's card: the text of its file, and what MLflow shows of it.

    `steps` is where the configuration is read, `image_size` the side of a dynamic image in pixels.
    """

    text: str
    config_id: str
    steps: int
    image_size: int

    @property
    def sha256(self) -> str:
        """Hash the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class ModelFiles:
    """The champion's model folder, as `collect` delivers it.

    `folder` makes it in a temporary folder when it is first called, so that nothing is copied for
    a champion that MLflow already holds. Use it as a context manager.
    """

    def __init__(self, study: Path, trainings: Sequence[Training], card: ModelCard) -> None:
        self.trainings = trainings
        self.card = card
        self._study = study
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> ModelFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def folder(self) -> Path:
        """Return the folder with every fold's weights, checked, and the card.

        Raises:
            InputError: a weights file is missing or not what the ledger recorded.
        """
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="dianet-model-")
            model = Path(self._folder.name) / "model"
            model.mkdir()
            loso = self.trainings[0].rung  # the rungs after it are its repeats
            for training in self.trainings:
                self._copy(training, model / fold_file(training.fold, training.rung - loso))
            (model / CARD_JSON).write_text(self.card.text, encoding="utf-8")
        return Path(self._folder.name) / "model"

    def _copy(self, training: Training, target: Path) -> None:
        weights = training.at(self.card.steps).weights
        source = self._study / weights.path if weights else self._study
        try:
            found = files.read(source)
        except files.failures():
            found = b""
        # What MLflow hands out must be what was scored.
        if weights is None or not weights.matches(found):
            raise InputError(
                f"the champion's weights must match the ledger: fold {training.fold} is missing "
                f"or damaged ({source}); run the same search again, which trains it again"
            )
        target.write_bytes(found)


def write_folds(
    client: MlflowClient,
    experiment: str,
    study: Study,
    *,
    runs: StudyRuns,
    model_files: ModelFiles,
) -> None:
    """Write the champion's fold runs, and delete those of a former champion.

    A fold run that already holds this model file and card is left alone. One whose files are gone,
    as after the folder of the store was moved, gets them again.
    """
    config_id = model_files.trainings[0].config_id
    for key in [key for key in runs.folds if key[0] != config_id]:
        client.delete_run(runs.folds.pop(key).run_id)
    parent = runs.configurations[config_id].run_id
    for training in model_files.trainings:
        card = model_files.card
        wanted = content.fold_run(study, training, card.steps, {content.CARD: card.sha256})
        known = runs.folds.get((config_id, training.fold))
        if known is None:
            known = make_run(client, experiment, wanted, parent=parent)
            runs.folds[config_id, training.fold] = known
        # Files first, then the seal: a run with this card's hash holds every file.
        names = (fold_file(training.fold), CARD_JSON)
        is_sealed = known.state == wanted.state and known.holds(wanted.tags)
        if not is_sealed or not _has(client, known, names):
            for name in names:
                client.log_artifact(known.run_id, str(model_files.folder() / name))
            write_run(client, known, wanted)


def _has(client: MlflowClient, run: KnownRun, names: Sequence[str]) -> bool:
    return {*names} <= {file.path for file in client.list_artifacts(run.run_id)}


def write_faces(client: MlflowClient, run: KnownRun, faces: Mapping[str, np.ndarray]) -> None:
    """Write dynamic images (3, H, W, 3) of subjects as pictures, once.

    Faces are licensed, so they are given only with `--log-faces`.
    """
    tags = {FACES_TAG: str(len(faces))}
    if not faces or run.holds(tags):
        return
    with tempfile.TemporaryDirectory(prefix="dianet-faces-") as folder:
        for name, images in faces.items():
            for phase, image in zip(PHASES, images, strict=True):
                file = Path(folder) / f"{name.replace('/', '-')}-{phase}.png"
                file.write_bytes(png(image))
        client.log_artifacts(run.run_id, folder, FACES_FOLDER)
    # The tag comes last: a writer that was killed before it writes the pictures again.
    for key, value in tags.items():
        client.set_tag(run.run_id, key, value)
    run.tags |= tags
