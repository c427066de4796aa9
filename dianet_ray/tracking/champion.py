"""The champion in MLflow: one run per fold with its learning curve, model file and card."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from mlflow import MlflowClient

from dianet_ray.artefacts import CARD_JSON, PHASES, fold_file
from dianet_ray.errors import InputError
from dianet_ray.imaging.display import png
from dianet_ray.protocol.study import Study, Training
from dianet_ray.storage import files
from dianet_ray.tracking import content
from dianet_ray.tracking.runs import KnownRun, StudyRuns, make_run, write_run

FACES_FOLDER = "faces"
FACES_TAG = "dianet.faces"


class ModelFiles:
    """The champion's model folder as it will be collected, laid out when first asked for."""

    def __init__(self, study: Path, trainings: Sequence[Training], card: dict[str, Any]) -> None:
        self.trainings = trainings
        self._study = study
        self._card = content.json_text(card)
        self.card_sha256 = hashlib.sha256(self._card.encode()).hexdigest()
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
            for training in self.trainings:
                self._copy(training, model / fold_file(training.fold))
            (model / CARD_JSON).write_text(self._card, encoding="utf-8")
        return Path(self._folder.name) / "model"

    def _copy(self, training: Training, target: Path) -> None:
        weights = training.weights
        source = self._study / weights.path if weights else self._study
        try:
            weights_file = files.read(source)
            target.write_bytes(weights_file)
            found = hashlib.sha256(weights_file).hexdigest()
        except files.failures():
            found = "missing"
        if weights is None or found != weights.sha256:
            raise InputError(
                f"the champion's weights must be as recorded: fold {training.fold} is missing or "
                f"damaged, {source}; run the same search again to train it again"
            )


def write_folds(
    client: MlflowClient, experiment: str, study: Study, *, runs: StudyRuns, files: ModelFiles
) -> None:
    """Make the champion's fold runs what they should be, and delete a former champion's.

    A fold run that holds this model file and card is left alone.
    """
    config_id = files.trainings[0].config_id
    for place in [place for place in runs.folds if place[0] != config_id]:
        client.delete_run(runs.folds.pop(place).run_id)
    parent = runs.configurations[config_id].run_id
    for training in files.trainings:
        whole = content.fold_run(study, training, {content.CARD: files.card_sha256})
        known = runs.folds.get((config_id, training.fold))
        if known is None:
            known = make_run(client, experiment, whole, parent=parent)
            runs.folds[config_id, training.fold] = known
        if known.state != whole.state or not known.holds(whole.tags):
            for name in (fold_file(training.fold), CARD_JSON):
                client.log_artifact(known.run_id, str(files.folder() / name))
            write_run(client, known, whole)


def write_faces(client: MlflowClient, run: KnownRun, faces: Mapping[str, np.ndarray]) -> None:
    """Write dynamic images (3, H, W, 3) of people as pictures, once; only with `--log-faces`."""
    tags = {FACES_TAG: str(len(faces))}
    if not faces or run.holds(tags):
        return
    with tempfile.TemporaryDirectory(prefix="dianet-faces-") as folder:
        for name, images in faces.items():
            for phase, image in zip(PHASES, images, strict=True):
                file = Path(folder) / f"{name.replace('/', '-')}-{phase}.png"
                file.write_bytes(png(image))
        client.log_artifacts(run.run_id, folder, FACES_FOLDER)
    for key, value in tags.items():
        client.set_tag(run.run_id, key, value)
    run.tags |= tags
