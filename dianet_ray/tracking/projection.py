"""MLflow's view of a study: written from its `Standing`; repeated writes end with the same runs.

One run per study, below it one per configuration, below the champion's one per fold with its
learning curve and model file. Nothing is here that is not in the ledger or in STUDY/weights.
docs/decisions.md: MLflow as a projection.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from dianet_ray.protocol.standing import Standing
from dianet_ray.protocol.study import Configuration, State, Study
from dianet_ray.tracking import content
from dianet_ray.tracking.champion import ModelCard, ModelFiles, write_faces, write_folds
from dianet_ray.tracking.registry import Registration, forget, register
from dianet_ray.tracking.runs import (
    StudyRuns,
    make_run,
    read_runs,
    write_run,
    write_values,
)
from dianet_ray.tracking.store import artifact_location, experiment_id

IDENTITY_JSON = "identity.json"


class Projection:
    """Writes one study into one experiment; calls may repeat, and nothing is written twice.

    After an exception make a new one, which reads what MLflow then holds.
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
            faces: dynamic images (3, H, W, 3) by name. Given only with `--log-faces`; no other
                image ever leaves for the store.

        Raises:
            InputError: the experiment is deleted.
        """
        self._client, self._path, self._faces = client, study_path, faces or {}
        location = artifact_location(client.tracking_uri, study_path)
        self._experiment = experiment_id(client, experiment, location)
        self._runs: StudyRuns | None = None
        self._n_ended = self._n_values = 0

    def update(self, standing: Standing) -> None:
        """Bring the run of the study and those of its configurations up to date.

        A study that is over without a champion is sealed here; one with a champion by `finish`.
        """
        study, state = standing.study, content.study_state(standing)
        runs = self._study_runs(study)
        if state == "running":
            self._write_study(study, runs, state)
        if runs.study.name != study.name:
            # The study folder was renamed; its identity, and so its run, is the same.
            self._client.update_run(runs.study.run_id, name=study.name)
            runs.study.name = study.name
        for configuration in study.configurations:
            self._update_configuration(standing, runs, configuration)
        self._update_curve(standing, runs)
        if state == "failed":
            self._write_study(study, runs, state)

    def finish(self, standing: Standing, card: ModelCard) -> None:
        """Write the champion too: its fold runs and, when the study is over, its model.

        Args:
            standing: of a study with a champion.
            card: the champion's card, as it goes beside the model files.

        Raises:
            InputError: a weights file of the champion is missing or damaged.
        """
        self._runs = None  # another process may have written since it was read
        self.update(standing)
        study, state = standing.study, content.study_state(standing)
        runs = self._study_runs(study)
        champion = next(c for c in study.configurations if c.config_id == card.config_id)
        with ModelFiles(self._path, study.of(champion.number), card) as model_files:
            write_folds(self._client, self._experiment, study, runs=runs, model_files=model_files)
            # Versions of a registered model stay. One that depended on when a search was
            # interrupted would make equal searches differ.
            if state == "complete":
                entry = self._registration(standing, runs, champion, card)
                register(self._client, self._experiment, entry, model_files=model_files)
        write_faces(self._client, runs.study, self._faces)
        self._write_study(study, runs, state, {content.CHAMPION: champion.config_id})

    def _write_study(
        self,
        study: Study,
        runs: StudyRuns,
        state: State,
        tags: dict[str, str] | None = None,
    ) -> None:
        """Seal the study's run with a state and tags, unless it is sealed with them."""
        if runs.study.state != state or not runs.study.holds(tags or {}):
            write_run(self._client, runs.study, content.study_run(study, state, tags))

    def _update_configuration(
        self, standing: Standing, runs: StudyRuns, configuration: Configuration
    ) -> None:
        config_id = configuration.config_id
        known = runs.configurations.get(config_id)
        # Sealed with its present state, so nothing is missing: most runs cost no request.
        if known is not None and known.state == standing.state(configuration.number):
            return
        wanted = content.configuration_run(standing, configuration)
        if known is None:
            known = make_run(self._client, self._experiment, wanted, parent=runs.study.run_id)
            runs.configurations[config_id] = known
        write_run(self._client, known, wanted)

    def _update_curve(self, standing: Standing, runs: StudyRuns) -> None:
        """Add to the curve of the best configuration when another one has ended."""
        n_ended = sum(state not in content.OPEN for state in standing.states())
        if n_ended > self._n_ended:
            values = list(content.best_curve(standing))
            write_values(self._client, runs.study.run_id, values[self._n_values :])
            self._n_ended, self._n_values = n_ended, len(values)

    def _registration(
        self, standing: Standing, runs: StudyRuns, champion: Configuration, card: ModelCard
    ) -> Registration:
        """Describe the champion's fold models as the model to register."""
        study = standing.study
        return Registration(
            name=content.model_name(study),
            run_id=runs.configurations[champion.config_id].run_id,
            tags={
                content.STUDY: content.study_id(study),
                content.CONFIG_ID: champion.config_id,
                content.CARD: card.sha256,
            },
            params=content.configuration_run(standing, champion).params,
            n_classes=len(study.classes),
            image_size=card.image_size,
        )

    def _study_runs(self, study: Study) -> StudyRuns:
        """Read the study's runs, and make its own where there is none.

        They are read once, because a search updates them as often as once a second.
        """
        # `track` beside a search may make duplicates meanwhile; the next reader deletes them.
        if self._runs is None:
            self._runs = read_runs(
                self._client,
                [self._experiment],
                study_id=content.study_id(study),
                started_at=content.started_at(study),
            )
        if self._runs is None:
            wanted = content.study_run(study, "running")
            self._runs = StudyRuns(make_run(self._client, self._experiment, wanted))
        while self._runs.copies:
            forget(self._client, self._experiment, self._runs.copies.pop())
        run = self._runs.study
        if run.state is None:
            self._client.log_text(run.run_id, content.identity_json(study), IDENTITY_JSON)
            write_run(self._client, run, content.study_run(study, "running"))
        return self._runs
