"""Write one run so that writing it again changes nothing, and read the runs of a study back.

A run is sealed by its state tag, which is written last: a run with a state is whole for that
state, and one that a killed writer left is written again. Values carry the ledger's times, and
MLflow's stores drop exact repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from dianet_ray.tracking.content import (
    CHAMPION,
    CONFIG_ID,
    FOLD,
    KIND,
    STATE,
    STATUS,
    STUDY,
    MetricValue,
    RunContent,
)

MAX_VALUES = 1000
"""MLflow's limit for the metrics of one request."""

PAGE_SIZE = 1000
"""Runs per request of a search; a search of 64 configurations leaves about a hundred."""

PARENT = "mlflow.parentRunId"
Group = TypeVar("Group", bound=Hashable)


@dataclass(slots=True)
class KnownRun:
    """A run that MLflow holds; `tags` follows what this process writes to it."""

    run_id: str
    name: str
    tags: dict[str, str]

    @property
    def state(self) -> str | None:
        """The state that the run was last sealed with; None while it never was."""
        return self.tags.get(STATE)

    def holds(self, tags: dict[str, str]) -> bool:
        """Say whether the run has every one of these tags."""
        return tags.items() <= self.tags.items()


@dataclass(slots=True)
class StudyRuns:
    """The runs of one study: its own, those of configurations by config_id, of folds by both.

    `copies` are the ids of duplicate runs and of all runs below them, which can be deleted. A run
    is duplicated when a response is lost and the request repeated, or when two processes write at
    once.
    """

    study: KnownRun
    configurations: dict[str, KnownRun] = field(default_factory=dict)
    folds: dict[tuple[str, int], KnownRun] = field(default_factory=dict)
    copies: list[str] = field(default_factory=list)


def read_runs(
    client: MlflowClient,
    experiments: list[str],
    *,
    study_id: str,
    started_at: int,
    champion: str = "",
) -> StudyRuns | None:
    """Find a study's runs by their tags; None where it has none.

    Runs deleted in MLflow do not count.

    Args:
        client: from `store.connect`.
        experiments: the ids of the experiments to search.
        study_id: see `content.study_id`.
        started_at: see `content.started_at`; tells studies with equal ids apart.
        champion: a config_id. Of several experiments with the study, the one is taken whose
            study run is sealed with this champion.
    """
    found = list(_search(client, experiments, f"tags.`{STUDY}` = '{study_id}'"))
    studies = [run for run in _of_kind(found, "study") if run.info.start_time == started_at]
    if not studies:
        return None
    copies: list[str] = []
    # A study may lie in several experiments, and only one of them may be up to date.
    studies = [run for run in studies if run.data.tags.get(CHAMPION) == champion] or studies
    runs = StudyRuns(_only(studies, copies), copies=copies)
    children = [r for r in _of_kind(found, "configuration") if _parent(r) == runs.study.run_id]
    for config_id, same in _grouped(children, _config_id).items():
        runs.configurations[config_id] = _only(same, copies)
    config_ids = {known.run_id: config_id for config_id, known in runs.configurations.items()}
    folds = [run for run in _of_kind(found, "fold") if _parent(run) in config_ids]
    for (parent, fold), same in _grouped(folds, _parent_and_fold).items():
        runs.folds[config_ids[parent], fold] = _only(same, copies)
    for kind in ("configuration", "fold"):
        copies += [run.info.run_id for run in _of_kind(found, kind) if _parent(run) in copies]
    return runs


def _search(client: MlflowClient, experiments: list[str], text: str) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs(experiments, text, max_results=PAGE_SIZE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _of_kind(runs: Iterable[Run], kind: str) -> Iterator[Run]:
    return (run for run in runs if run.data.tags.get(KIND) == kind)


def _parent(run: Run) -> str:
    return str(run.data.tags.get(PARENT, ""))


def _config_id(run: Run) -> str:
    return str(run.data.tags[CONFIG_ID])


def _parent_and_fold(run: Run) -> tuple[str, int]:
    return _parent(run), int(run.data.tags[FOLD])


def _grouped(runs: Iterable[Run], of: Callable[[Run], Group]) -> dict[Group, list[Run]]:
    found: dict[Group, list[Run]] = {}
    for run in runs:
        found.setdefault(of(run), []).append(run)
    return found


def _only(same: list[Run], copies: list[str]) -> KnownRun:
    """Keep the run that was written furthest, among equals the one with the lowest id.

    Every process that reads the same runs must keep the same one, or each would delete the
    other's.
    """

    def rank(run: Run) -> tuple[bool, bool, str]:
        return CHAMPION not in run.data.tags, STATE not in run.data.tags, run.info.run_id

    first, *rest = sorted(same, key=rank)
    copies.extend(run.info.run_id for run in rest)
    return known_run(first)


def known_run(run: Run) -> KnownRun:
    """Reduce a run to what the projection needs."""
    return KnownRun(run.info.run_id, run.info.run_name, dict(run.data.tags))


def make_run(
    client: MlflowClient, experiment: str, content: RunContent, *, parent: str | None = None
) -> KnownRun:
    """Make a run with its tags and nothing else; it is not sealed."""
    tags = {**content.tags, PARENT: parent} if parent else content.tags
    return known_run(
        client.create_run(
            experiment, start_time=content.started_at, tags=tags, run_name=content.name
        )
    )


def write_run(client: MlflowClient, known: KnownRun, content: RunContent) -> None:
    """Write what a run holds, then its status, and last the tag that seals it."""
    params = [Param(key, value) for key, value in content.params.items()]
    write_values(client, known.run_id, content.values, params=params)
    # An open run has no end time, and set_terminated would give it one.
    status = STATUS[content.state]
    if status == "RUNNING":
        client.update_run(known.run_id, status=status)
    else:
        client.set_terminated(known.run_id, status, content.finished_at)
    # Last, because readers take a run with a state for whole.
    tags = {**content.tags, STATE: content.state}
    client.log_batch(known.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    known.tags |= tags


def write_values(
    client: MlflowClient,
    run_id: str,
    values: Iterable[MetricValue],
    *,
    params: Iterable[Param] = (),
) -> None:
    """Write values in as few requests as MLflow's limits allow."""
    metrics = [Metric(one.key, one.value, one.at, one.step) for one in values]
    # On SQLite log_metric takes 7 ms for each value, and a batch of 1,000 takes 0.3 s.
    client.log_batch(run_id, metrics=metrics[:MAX_VALUES], params=list(params))
    for start in range(MAX_VALUES, len(metrics), MAX_VALUES):
        client.log_batch(run_id, metrics=metrics[start : start + MAX_VALUES])
