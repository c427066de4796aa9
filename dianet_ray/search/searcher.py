"""The Searcher that Ray Tune asks what to train next.

It joins the race (what), the draw (settings), the ledger (what is true) and Tune (where). Order of
every event: ledger durable, then race, then whoever listens. It keeps no state that the ledger
does not hold, so Tune's own saving and restoring of searchers is not used.
"""

from __future__ import annotations

import json
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from dianet_ray import storage
from dianet_ray.protocol.race import MAX_ATTEMPTS, Done, DrawWave, Race, Train, Wait
from dianet_ray.protocol.study import Configuration, Study
from dianet_ray.schemas import WEIGHTS_FOLDER
from dianet_ray.search.draw import Past, draw
from dianet_ray.search.ledger import Ledger
from dianet_ray.search.space import Space
from dianet_ray.search.status import best_so_far, first_wave_failure
from dianet_ray.search.study_view import extended, training_record
from dianet_ray.search.weights import kept, score

logger = logging.getLogger(__name__)

REFUSED = "refused"
"""What a trial answers on a node that cannot take part; never recorded."""

SILENCE_S = 600.0
"""A training is lost when it is silent for longer than this and 10x the median training."""


class StudySearcher(Searcher):  # type: ignore[misc]
    """Feeds Tune with trainings until the race is done or somebody stops it."""

    def __init__(
        self,
        path: Path,
        study: Study,
        *,
        space: Space,
        race: Race,
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
        self.ledger = Ledger(path)
        self._space, self._race = space, race
        self._n_kept = n_kept
        self.on_change: Callable[[Study], None] = lambda study: None
        self._scores: dict[int, float] = {}
        self._weightless: set[int] = set()  # configurations whose weights are deleted
        self._repairs: list[Train] = []
        self._next: Train | Wait | Done | None = None
        self.best = ""  # the best so far with its interval, for the progress line
        self._settle()

    def repair(self, damaged: list[tuple[int, int]]) -> None:
        """Train again, before anything else, what lost its weights file."""
        self._repairs = [Train(number, (fold,)) for number, fold in damaged]

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
                return action
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
                self._race.finished(record["number"], record["fold"], record["outcome"])
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
    def scores(self) -> dict[int, float]:
        """The pooled objective of every complete configuration, by number."""
        return self._scores

    def _work(self, train: Train) -> dict[str, Any]:
        configuration = self.study.configurations[train.number]
        return {
            "number": train.number,
            "config_id": configuration.config_id,
            "settings": configuration.settings.model_dump(),
            "rung": train.rung,
            "folds": list(train.folds),
            "attempt": train.attempt,
            "silence_s": self._silence_s(),
            "avoid": list(self.avoided),
        }

    def _silence_s(self) -> float:
        seconds = [t.seconds for t in self.study.trainings.values() if t.outcome == "ok"]
        return max(SILENCE_S, 10 * statistics.median(seconds)) if seconds else SILENCE_S

    def _draw(self, action: DrawWave) -> None:
        """Draw a wave; what the ledger already holds of it stands."""
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
        self._race.drawn(action, len(recorded) + len(fresh))
        for configuration in recorded:
            for training in self.study.of(configuration.number):
                self._race.finished(training.number, training.fold, training.outcome)

    def _past(self, configuration: Configuration) -> Past:
        number = configuration.number
        return Past(
            configuration.settings,
            configuration.wave,
            self.study.state(number),
            self._scores.get(number),
        )

    def _finished(self, train: Train, result: dict[str, Any]) -> None:
        (fold,) = train.folds
        if (train.number, fold) in self.study.trainings:
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
        if (train.number, fold) in self.study.trainings:
            if train.attempt < MAX_ATTEMPTS:
                self._repairs.append(replace(train, attempt=train.attempt + 1))
            return
        if self._race.lost(train.number, fold):
            return
        now = time.time()
        times = {"seconds": 0.0, "started_at": now, "finished_at": now}
        error = f"its worker was lost {MAX_ATTEMPTS} times"
        self._finished(train, {"outcome": "lost", "error": error, **times})

    def _returned(self, train: Train) -> None:
        """Queue again what a node that cannot take part was given."""
        if (train.number, train.folds[0]) in self.study.trainings:
            self._repairs.append(train)
        else:
            self._race.returned(train.number, train.folds[0])

    def _settle(self) -> None:
        """Score what has become complete, and delete the weights that nobody needs any more."""
        for configuration in self.study.complete():
            if configuration.number not in self._scores:
                self._scores[configuration.number] = score(self.study, configuration.number)
                self._say_best()
        self._delete_surplus_weights()
        self.failure = first_wave_failure(self.study)
        self.is_stopping = self.is_stopping or bool(self.failure)

    def _say_best(self) -> None:
        if self._scores:
            best = kept(self._scores, 1)[0]
            value, low, high = best_so_far(self.study, best)
            self.best = f"best {self.study.objective} {value:.3f} [{low:.3f}, {high:.3f}]"

    def _delete_surplus_weights(self) -> None:
        wanted = set(kept(self._scores, self._n_kept))
        for configuration in self.study.configurations:
            number = configuration.number
            if number in wanted or number in self._weightless:
                continue
            folder = self.path / WEIGHTS_FOLDER / configuration.config_id
            if self.study.state(number) != "running" and storage.remove(folder):
                self._weightless.add(number)
