"""The Searcher that Ray Tune asks what to train next.

It joins the race (what), the draw (settings), the ledger (what is true) and Tune (where). Order of
every event: ledger durable, then race, then whoever listens. It keeps no state that the ledger
does not hold, so Tune's own saving and restoring of searchers is not used.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from dianet_ray.artefacts import WEIGHTS_FOLDER
from dianet_ray.protocol.schedule import MAX_ATTEMPTS, Done, DrawWave, Race, Train, Wait
from dianet_ray.protocol.standing import judge_of, ladder_of
from dianet_ray.protocol.study import Configuration, Study
from dianet_ray.search.budget import Budget
from dianet_ray.search.draw import Past, draw
from dianet_ray.search.ledger import Ledger
from dianet_ray.search.retention import kept
from dianet_ray.search.silence import Silence
from dianet_ray.search.space import Space
from dianet_ray.search.status import best_so_far, first_wave_failure
from dianet_ray.search.study_file import extended, training_record
from dianet_ray.storage import files

logger = logging.getLogger(__name__)

REFUSED = "refused"
"""What a trial answers on a node that cannot take part; never recorded."""


class StudySearcher(Searcher):  # type: ignore[misc]
    """Feeds Tune with trainings until the race is done or somebody stops it."""

    def __init__(  # noqa: PLR0913 - a study, and how far to go with it
        self,
        path: Path,
        study: Study,
        *,
        space: Space,
        n_configs: int,
        budget: Budget | None = None,
        n_kept: int | None = None,
    ) -> None:
        super().__init__()
        self.study = study
        self.path = path
        self.is_stopping = False
        self.failure = ""  # why the study cannot go on
        self.n_workers: int | None = None  # trials at once; follows the nodes
        self.avoided: tuple[str, ...] = ()  # nodes that must get none
        self.on_refused: Callable[[str, str], None] = lambda node_id, problem: None
        self.live: dict[str, Train] = {}
        self.has_started = False  # a worker has begun a training
        self.ledger = Ledger(path)
        self._space, self._n_kept = space, n_kept
        self._n_configs, self._budget = n_configs, budget or Budget()
        self._ladder = ladder_of(study)
        judge = judge_of(study, lambda: self.study)
        self._race = Race(
            self._ladder,
            n_folds=[len(folds) for folds in study.rungs],
            n_configs=n_configs,
            wave_size=int(study.identity["wave_size"]),
            judge=judge,
        )
        self._judge = judge
        self.on_change: Callable[[Study], None] = lambda study: None
        self._totals: dict[int, float] = {}  # of the configurations that finished LOSO
        self._silence = Silence()
        self._weightless: set[int] = set()  # configurations whose weights are deleted
        self._repairs: list[Train] = []
        self._next: Train | Wait | Done | None = None
        self.best = ""  # the best so far with its interval, for the progress line
        self.n_most = 0  # trainings that the study can take, as far as is known
        self._settle()

    def repair(self, damaged: list[tuple[int, int]]) -> None:
        """Train again, before anything else, what lost its weights file."""
        rung = self.study.loso_rung
        self._repairs = [Train(number, (fold,), rung) for number, fold in damaged]

    def has_work(self) -> bool:
        """Replay what the ledger holds; say whether anything is left to train."""
        if self._next is None:
            self._next = self._decide()
        return isinstance(self._next, Train)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Answer Tune: a training, None for later, or FINISHED."""
        self.tick()
        if self.is_stopping:
            return None if self.live else Searcher.FINISHED
        if self.n_workers is not None and len(self.live) >= self.n_workers:
            return None
        action = self._next or self._decide()
        self._next = None
        if isinstance(action, Train):
            self.live[trial_id] = action
            return {"work": self._work(action)}
        return None if isinstance(action, Wait) or self.live else Searcher.FINISHED

    def _decide(self) -> Train | Wait | Done:
        """Ask the race until it names a training or has to wait, drawing waves on the way."""
        if self._repairs:
            return self._repairs.pop()
        while True:
            action = self._race.take()
            if isinstance(action, Train):
                if action.is_sure or not self.flush():
                    return action
                self._race.returned(action)  # what waited for the ledger may settle it
                continue
            if isinstance(action, DrawWave):
                self._draw(action)
            elif not self.flush():  # nothing that waits for the ledger could change the answer
                return action

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record a training, or queue it again when its worker was lost."""
        train = self.live.pop(trial_id, None)
        if train is None:
            return
        if error or not result or "training" not in result:
            self._lost(train)
            return
        training = json.loads(result["training"])
        if training["outcome"] == REFUSED:
            self.on_refused(training["node_id"], training["error"])
            self._returned(train)
        else:
            self._finished(train, training)

    def tick(self) -> None:
        """Flush what is due. Not done where Tune hands results over: it swallows errors there."""
        if self.ledger.is_due:
            self.flush()

    def flush(self) -> bool:
        """Make waiting records durable, then let the race and the listeners know of them."""
        written = self.ledger.flush()
        if not written:
            return False
        self.study = extended(self.study, written)
        for record in written:
            if record["kind"] == "training":
                self._weightless.discard(record["number"])  # it may have just written some
                self._race.finished(
                    record["number"], record["rung"], record["fold"], record["outcome"]
                )
        self._settle()
        self.on_change(self.study)
        return True

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the ledger is the state."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles its tuner to scratch, which nobody reads: keep study and threads out of it.
        return Searcher, ()

    @property
    def n_complete(self) -> int:
        """How many configurations have finished LOSO."""
        return len(self._totals)

    def _work(self, train: Train) -> dict[str, Any]:
        configuration = self.study.configurations[train.number]
        return {
            "number": train.number,
            "config_id": configuration.config_id,
            "settings": configuration.settings.model_dump(),
            "rung": train.rung,
            "steps": self._ladder[train.rung].steps,
            "folds": list(train.folds),
            "attempt": train.attempt,
            "silence_s": self._silence.limit_s(self.study, train.rung),
            "avoid": list(self.avoided),
        }

    def _draw(self, action: DrawWave) -> None:
        """Draw a wave; what the ledger already holds of it stands, whatever a budget says now."""
        n_recorded = max(0, len(self.study.configurations) - action.first)
        limit = self._limit(action) if n_recorded < action.n else ""
        if limit:
            self._end_drawing(action.first + n_recorded, limit)
            action = replace(action, n=n_recorded)
        if action.n:
            self._draw_all(action)
        if limit:
            self._race.end_drawing()

    def _draw_all(self, action: DrawWave) -> None:
        before = self.study.configurations[: action.first]
        settings = draw(
            self._space,
            self.study.identity["seed"],
            wave=action.wave,
            n=action.n,
            history=[self._past(c) for c in before],
        )
        recorded = [c for c in self.study.configurations if c.wave == action.wave]
        if [c.settings for c in recorded] != settings[: len(recorded)]:
            logger.warning(
                "wave %d would be drawn differently today (another Optuna?): the ledger stands",
                action.wave,
            )
        fresh = [s.model_dump() for s in settings[len(recorded) :]]
        if fresh:
            self.ledger.append(
                {"kind": "wave", "at": time.time(), "wave": action.wave, "settings": fresh}
            )
            self.flush()
        n_drawn = len(recorded) + len(fresh)
        if n_drawn < action.n:
            self._end_drawing(action.first + n_drawn, "the space holds no more")
        self._race.drawn(action, n_drawn)
        for configuration in recorded:
            for rung in range(len(self.study.rungs)):
                for training in self.study.of(configuration.number, rung):
                    self._race.finished(training.number, rung, training.fold, training.outcome)

    def _limit(self, action: DrawWave) -> str:
        """Name the budget that a wave could exceed; empty for none."""
        return self._budget.forbids(
            self.study, self._race, action.n, n_workers=self.n_workers or 1, now=time.time()
        )

    def _end_drawing(self, n_configs: int, reason: str) -> None:
        """Write with how many configurations drawing ends, and what was asked for."""
        logger.warning("drawing ends with %d configurations: %s", n_configs, reason)
        self.ledger.append(
            {
                "kind": "end_of_drawing",
                "at": time.time(),
                "n_configs": n_configs,
                "reason": reason,
                "asked": {"configs": self._n_configs, **self._budget.plain()},
            }
        )
        self.flush()

    def _past(self, configuration: Configuration) -> Past:
        """Tell the draw what became of a configuration in the first rung."""
        run = self._race.climb.run(configuration.number, 0)
        assert run is not None
        n_folds = run.n_decided if run.state in ("complete", "dropped") else 0
        score = self._judge.score(run.number, 0, n_folds) if n_folds else None
        return Past(configuration.settings, configuration.wave, run.state, score, n_folds)

    def _finished(self, train: Train, result: dict[str, Any]) -> None:
        (fold,) = train.folds
        if train.key in self.study.trainings:
            self._repaired(train.number, fold, result)
            return
        self.ledger.append(
            training_record(
                number=train.number,
                config_id=self.study.configurations[train.number].config_id,
                rung=train.rung,
                fold=fold,
                attempt=train.attempt,
                **result,
            ),
            is_urgent=result["outcome"] != "ok",  # before another fold of it starts
        )

    def _repaired(self, number: int, fold: int, result: dict[str, Any]) -> None:
        if result["outcome"] != "ok":
            logger.warning(
                "configuration %d, fold %d: its weights could not be made again: %s",
                number,
                fold,
                result["error"],
            )
            return
        self.ledger.append(
            {
                "kind": "weights",
                "at": result["finished_at"],
                "number": number,
                "fold": fold,
                "weights": result["weights"],
            }
        )

    def _lost(self, train: Train) -> None:
        (fold,) = train.folds
        logger.warning(
            "configuration %d, fold %d: its worker was lost (attempt %d of %d)",
            train.number,
            fold,
            train.attempt,
            MAX_ATTEMPTS,
        )
        if train.key in self.study.trainings:
            if train.attempt < MAX_ATTEMPTS:
                self._repairs.append(replace(train, attempt=train.attempt + 1))
            return
        if self._race.lost(train):
            return
        now = time.time()
        times = {"seconds": 0.0, "started_at": now, "finished_at": now}
        error = f"its worker was lost {MAX_ATTEMPTS} times"
        self._finished(train, {"outcome": "lost", "error": error, **times})

    def _returned(self, train: Train) -> None:
        """Queue again what a node that cannot take part was given."""
        if train.key in self.study.trainings:
            self._repairs.append(train)
        else:
            self._race.returned(train)

    def _settle(self) -> None:
        """Rank what has finished LOSO, and delete the weights that nobody needs any more."""
        climb = self._race.climb
        before = kept(self._totals, 1)
        self._totals = {run.number: climb.total(run.number, run.rung) for run in climb.complete()}
        if self._totals and (best := kept(self._totals, 1)) != before:
            value, low, high = best_so_far(self.study, best[0])
            self.best = f"best {self.study.objective} {value:.3f} [{low:.3f}, {high:.3f}]"
        self._delete_surplus_weights()
        self.n_most = sum(self._race.most_trainings())
        self.failure = self.failure or first_wave_failure(self.study)
        self.is_stopping = self.is_stopping or bool(self.failure)

    def _delete_surplus_weights(self) -> None:
        wanted = set(kept(self._totals, self._n_kept))
        for run in self._race.climb.runs(self.study.loso_rung):
            number = run.number
            if number in wanted or number in self._weightless:
                continue
            folder = self.path / WEIGHTS_FOLDER / self.study.configurations[number].config_id
            if not (run.is_in and run.state == "running") and files.remove(folder):
                self._weightless.add(number)
