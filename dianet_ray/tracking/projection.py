"""MLflow's view of a study: written from the ledger's view, again and again, to the same end.

One run per study, below it one per configuration, below the champion's one per fold with its
learning curve and model file. Nothing is here that is not in the ledger or in STUDY/weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient

from dianet_ray.protocol.standing import standing
from dianet_ray.protocol.study import Configuration, Study
from dianet_ray.tracking import content
from dianet_ray.tracking.champion import ModelFiles, write_faces, write_folds
from dianet_ray.tracking.registry import Ensemble, forget, register
from dianet_ray.tracking.runs import (
    StudyRuns,
    make_run,
    read_runs,
    write_points,
    write_run,
)
from dianet_ray.tracking.store import artifact_location, experiment_id

IDENTITY_JSON = "identity.json"


class Projection:
    """Writes one study into one experiment; calls may repeat, and nothing is written twice.

    After an exception make a new one: it reads from the server what that then holds.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment: str,
        study_path: Path,
        *,
        faces: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Find or make the experiment.

        Args:
            client: from `store.connect`.
            experiment: its name.
            study_path: STUDY, where the fold weights are.
            faces: dynamic images (3, H, W, 3) by the names that they go by; given only with
                `--log-faces`, and the only images that ever leave for the server.

        Raises:
            InputError: the experiment is deleted.
        """
        self._client, self._path, self._faces = client, study_path, faces or {}
        location = artifact_location(client.tracking_uri, study_path)
        self._experiment = experiment_id(client, experiment, location)
        self._runs: StudyRuns | None = None
        self._n_settled = self._n_points = 0

    def update(self, study: Study) -> None:
        """Bring the run of the study and those of its configurations up to date.

        A study that is over is sealed here when it has no champion, else by `finish`.
        """
        runs = self._known(study)
        n_settled = sum(state not in content.OPEN for state in standing(study).states())
        state = content.study_state(study)
        if state == "running" and runs.study.state != state:
            write_run(self._client, runs.study, content.study_run(study, state))
        if runs.study.name != study.name:
            self._client.update_run(runs.study.run_id, name=study.name)
            runs.study.name = study.name
        for configuration in study.configurations:
            self._update_configuration(study, runs, configuration)
        if n_settled > self._n_settled:
            points = list(content.best_so_far(study))
            write_points(self._client, runs.study.run_id, points[self._n_points :])
            self._n_settled, self._n_points = n_settled, len(points)
        if state == "failed" and runs.study.state != state:
            write_run(self._client, runs.study, content.study_run(study, state))

    def finish(self, study: Study, card: dict[str, Any]) -> None:
        """Write the champion too: its fold runs and, when the study is over, its ensemble.

        The study's run is sealed only when nothing that is drawn still runs. Until then no
        ensemble is registered: versions stay, and one that depends on when a search was
        interrupted would make equal searches differ.

        Args:
            study: a study with a champion.
            card: the champion's card, as it goes beside the model files.

        Raises:
            InputError: a weights file of the champion is missing or damaged.
        """
        self._runs = None  # read again what another process may have written meanwhile
        self.update(study)
        runs = self._known(study)
        champion = next(c for c in study.configurations if c.config_id == card["config_id"])
        state = content.study_state(study)
        with ModelFiles(self._path, study.of(champion.number), card) as files:
            write_folds(self._client, self._experiment, study, runs=runs, files=files)
            if state == "complete":
                ensemble = Ensemble(
                    name=content.model_name(study),
                    run_id=runs.configurations[champion.config_id].run_id,
                    tags={
                        content.STUDY: content.study_id(study),
                        content.CONFIG_ID: champion.config_id,
                        content.CARD: files.card_sha256,
                    },
                    params=content.configuration_run(study, champion).params,
                    n_classes=len(study.classes),
                    image_size=int(card["recipe"]["image_size"]),
                )
                register(self._client, self._experiment, ensemble, files=files)
        write_faces(self._client, runs.study, self._faces)
        champion_tag = {content.CHAMPION: champion.config_id}
        if runs.study.state != state or not runs.study.holds(champion_tag):
            write_run(self._client, runs.study, content.study_run(study, state, champion_tag))

    def _known(self, study: Study) -> StudyRuns:
        """Read the study's runs once, making its own; from then on only this object writes."""
        if self._runs is None:
            self._runs = read_runs(
                self._client,
                [self._experiment],
                study_id=content.study_id(study),
                started_at=content.started_at(study),
            )
        if self._runs is None:
            whole = content.study_run(study, "running")
            self._runs = StudyRuns(make_run(self._client, self._experiment, whole))
        while self._runs.copies:
            forget(self._client, self._experiment, self._runs.copies.pop())
        run = self._runs.study
        if run.state is None:
            text = content.json_text({"identity": study.identity, "classes": study.classes})
            self._client.log_text(run.run_id, text, IDENTITY_JSON)
            write_run(self._client, run, content.study_run(study, "running"))
        return self._runs

    def _update_configuration(
        self, study: Study, runs: StudyRuns, configuration: Configuration
    ) -> None:
        config_id = configuration.config_id
        known = runs.configurations.get(config_id)
        if known is not None and known.state == standing(study).state(configuration.number):
            return
        whole = content.configuration_run(study, configuration)
        if known is None:
            known = make_run(self._client, self._experiment, whole, parent=runs.study.run_id)
            runs.configurations[config_id] = known
        write_run(self._client, known, whole)
