"""The Searcher that Ray Tune asks what to train next.

It joins the schedule (what), the draw (settings), the ledger (what is true) and Tune (where).
Every event becomes durable in the ledger first; then the schedule hears of it, then whoever
listens. It keeps no state that the ledger does not hold, so Tune's own saving is not used.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from dianet_ray.cluster.deaths import Death, cause_of
from dianet_ray.model.fit import own_settings
from dianet_ray.protocol import leaks
from dianet_ray.protocol.decisions import Decisions
from dianet_ray.protocol.results import Training, TrainingResult
from dianet_ray.protocol.schedule import MAX_ATTEMPTS, Done, DrawWave, Key, Schedule, Train, Wait
from dianet_ray.protocol.standing import Standing, comparison_of
from dianet_ray.protocol.study import Configuration, EndOfDrawing, Study
from dianet_ray.search.afterwards import Afterwards, most_after
from dianet_ray.search.budget import Extent
from dianet_ray.search.draw import Past, draw, past_of
from dianet_ray.search.events import (
    BlockSized,
    DrawingEnded,
    Member,
    Order,
    Refusal,
    Report,
    Results,
    TrainingEnded,
    Unfit,
    Waiting,
    WaveDrawn,
    WeightsMade,
    answer_of,
)
from dianet_ray.search.ledger import Ledger
from dianet_ray.search.repairs import Repairs
from dianet_ray.search.retention import Retention
from dianet_ray.search.silence import Silence
from dianet_ray.search.space import Space
from dianet_ray.search.study_file import extended
from dianet_ray.settings import Settings, Value

logger = logging.getLogger(__name__)


class StudySearcher(Searcher):  # type: ignore[misc]
    """Gives Ray Tune one training after another, until the study is done or interrupted."""

    def __init__(self, path: Path, study: Study, *, space: Space, extent: Extent) -> None:
        super().__init__()
        self.study = study
        self.path = path
        self.is_stopping = False
        self.failure = ""  # why the study cannot continue; empty while it can
        self.n_workers: int | None = None  # trials that may run at once; follows the nodes
        self.avoided: tuple[str, ...] = ()  # ids of nodes that must get no trial
        self.on_refused: Callable[[str, str], None] = lambda node_id, problem: None
        self.death_of: Callable[[str], Death] = lambda trial_id: Death("", is_own=False)
        self.cause_of: Callable[[Death], str] = cause_of
        self.on_change: Callable[[Study], None] = lambda study: None
        self.live: dict[str, Train] = {}
        self.waiting: dict[str, Waiting] = {}  # for the storage, by trial
        self.has_started = False  # a worker has begun a training
        self.ledger = Ledger(path)
        self._space, self._extent = space, extent
        self._comparison = comparison_of(study, lambda: self.study)
        self._schedule = Schedule(
            study.ladder,
            n_folds=[len(folds) for folds in study.rungs],
            n_configs=extent.n_configs,
            wave_size=study.identity.wave_size,
            comparison=self._comparison,
        )
        if study.block is not None:
            self._schedule.stack(study.block, self._shape_of)
        self._ranking: list[Configuration] = []  # of those that finished LOSO, best first
        self._silence = Silence()
        self._retention = Retention(path, extent.n_kept)
        self._repairs, self._afterwards = Repairs(), Afterwards(study, extent)
        self._n_own_deaths: Counter[Key] = Counter()  # of workers that died while their node lived
        self._next: Train | Wait | Done | None = None
        self.best = ""  # the best so far with its interval, for the progress line
        self._most_searched = 0  # trainings that the search can take, as far as is known
        self._settle()

    def repair(self, damaged: list[tuple[int, int]]) -> None:
        """Queue the trainings whose weights file was lost, ahead of everything else."""
        self._repairs.add(self.study, damaged)

    def stack(self, block: int) -> None:
        """Train blocks of so many as one stack; what has trained may only get smaller ones."""
        before = self.study.block or 1
        is_open = self.study.block is None and not self.study.trainings
        if block < before or (is_open and block > 1):
            self.ledger.append(BlockSized(time.time(), block))
            self.flush()
            self._schedule.stack(block, self._shape_of)
        elif block > before:
            logger.warning("blocks of %d, as the study has them", before)

    def has_work(self) -> bool:
        """Replay the ledger, and say whether anything is left to train."""
        if self._next is None:
            self._next = self._decide()
        return isinstance(self._next, Train)

    def suggest(self, trial_id: str) -> dict[str, str] | str | None:
        """Tell Tune what to start: a training, None while it has to wait, or FINISHED."""
        self.tick()
        if self.is_stopping:
            return None if self.live else Searcher.FINISHED
        if self.n_workers is not None and len(self.live) >= self.n_workers:
            return None
        action = self._next or self._decide()
        self._next = None
        if isinstance(action, Train):
            self.live[trial_id] = action
            return self._order(action).config()
        return None if isinstance(action, Wait) or self.live else Searcher.FINISHED

    def _decide(self) -> Train | Wait | Done:
        """Ask the schedule for the next training, and draw the waves that it asks for."""
        if (repair := self._repairs.take()) is not None:
            return repair
        while True:
            action = self._schedule.take()
            if isinstance(action, Train):
                if action.is_certain or not self.flush():
                    return action
                self._schedule.returned(action)  # the results just flushed may make it surplus
                continue
            if isinstance(action, DrawWave):
                self._draw(action)
            elif not self.flush():  # no unflushed result can change the decision
                if isinstance(action, Done):
                    # Weights that were made again were written before the ledger was replayed.
                    self._settle()
                    return self._after_the_search()
                return action

    def _after_the_search(self) -> Train | Wait | Done:
        """Go on with what is trained when the search is over."""
        standing = Standing(self.study, self._schedule.decisions)
        self._afterwards.begin(standing, self.study.block or 1)
        if (train := self._afterwards.take()) is not None:
            return train
        return Wait() if self._afterwards.are_in_flight else Done()

    def on_trial_complete(
        self, trial_id: str, result: Report | None = None, error: bool = False
    ) -> None:
        """Record a training. Queue it again when its worker was lost or its node refused it."""
        self.waiting.pop(trial_id, None)
        train = self.live.pop(trial_id, None)
        if train is None:
            return
        answer = None if error else answer_of(result)
        if answer is None:
            self._died(train, self.death_of(trial_id))
        elif isinstance(answer, Refusal):
            self.on_refused(answer.node_id, answer.problem)
            self._returned(train)
        elif isinstance(answer, Unfit):
            self._unfit(train, answer.error, is_memory=answer.is_memory)
        elif isinstance(answer, Results):
            for key, one in zip(train.keys, answer.results, strict=True):
                self._finished(train, key, one)

    def on_trial_result(self, trial_id: str, result: Report) -> None:
        """Note that a worker waits for the storage: no other result comes before the last one."""
        answer = answer_of(result)
        if isinstance(answer, Waiting):
            self.waiting[trial_id] = answer

    def tick(self) -> None:
        """Flush what is due.

        Tune swallows the exceptions of `on_trial_complete`, so nothing is flushed there.
        """
        if self.ledger.is_due:
            self.flush()

    def flush(self) -> bool:
        """Make waiting events durable, then tell the schedule and the listener.

        Returns:
            Whether anything was waiting.
        """
        written = self.ledger.flush()
        if not written:
            return False
        # Nothing is decided on a result that a crash could still take away.
        self.study = extended(self.study, written)
        for event in written:
            if isinstance(event, TrainingEnded):
                training = event.training
                if training.rung > self.study.loso_rung:
                    self._afterwards.finished(training.key, training.outcome)
                    continue
                self._retention.written(training.number)
                self._schedule.finished(*training.key, training.outcome)
            elif isinstance(event, WeightsMade):  # of all points, and one of them is kept
                self._retention.written(event.number)
        self._settle()
        self.on_change(self.study)
        return True

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the ledger is the state."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles its searcher to scratch, which is never read. Study and threads stay out.
        return Searcher, ()

    @property
    def n_done(self) -> int:
        """How many trainings of what is wanted are recorded."""
        return len(self.study.trainings) + self._afterwards.work.done

    @property
    def n_most(self) -> int:
        """How many trainings the study can take, as far as is known."""
        return self._most_searched + self._afterwards.work.most

    @property
    def n_complete(self) -> int:
        """How many configurations have finished LOSO."""
        return len(self._ranking)

    def _order(self, train: Train) -> Order:
        is_repair = self._is_repair(train)
        loso = self.study.loso_rung
        members = tuple(
            Member(
                number,
                self.study.configurations[number].config_id,
                self._settings(number, train.rung),
                fold,
                # The other weights of a repaired block are there, and must stay as they are.
                keeps_weights=(
                    self._afterwards.keeps_weights(number, train.rung)
                    if train.rung > loso
                    else not is_repair or self._repairs.is_lost(key)
                ),
            )
            for (number, fold), key in zip(train.members, train.keys, strict=True)
        )
        return Order(
            rung=train.rung,
            members=members,
            steps=self.study.ladder[min(train.rung, loso)].steps,
            attempt=train.attempt,
            silence_s=self._silence.limit_s(self.study, min(train.rung, loso)),
            avoid=self.avoided,
        )

    def _settings(self, number: int, rung: int) -> Settings:
        if rung > self.study.loso_rung:
            return self._afterwards.settings(number, rung)
        return self.study.configurations[number].settings

    def _draw(self, action: DrawWave) -> None:
        """Draw a wave. What the ledger already holds of it stands, whatever a budget says now."""
        n_recorded = max(0, len(self.study.configurations) - action.first)
        limit = ""
        if n_recorded < action.n:
            n_workers, now = self.n_workers or 1, time.time()
            most = self._schedule.most_trainings(action.n)
            most.append(most_after(self.study, self._extent, self._schedule.n_drawn + action.n))
            limit = self._extent.budget.forbids(self.study, most, n_workers=n_workers, now=now)
        if limit:
            self._end_drawing(action.first + n_recorded, limit)
            action = replace(action, n=n_recorded)
        if action.n:
            self._draw_all(action)
        if limit:
            self._schedule.end_drawing()

    def _draw_all(self, action: DrawWave) -> None:
        decisions, before = self._schedule.decisions, self.study.configurations[: action.first]
        settings = draw(
            self._space,
            self.study.identity.seed,
            wave=action.wave,
            n=action.n,
            history=[self._past(c, decisions) for c in before],
        )
        recorded = [c for c in self.study.configurations if c.wave == action.wave]
        # A driver may have been killed between a wave's first record and its last.
        if [c.settings for c in recorded] != settings[: len(recorded)]:
            logger.warning(
                "wave %d would be drawn differently now (another Optuna?): the ledger stands",
                action.wave,
            )
        fresh = tuple(settings[len(recorded) :])
        if fresh:
            self.ledger.append(WaveDrawn(time.time(), action.wave, fresh))
            self.flush()
        n_drawn = len(recorded) + len(fresh)
        if n_drawn < action.n:
            self._end_drawing(action.first + n_drawn, "the space holds no more")
        self._schedule.drawn(action, n_drawn)
        self._replay(recorded)

    def _past(self, configuration: Configuration, decisions: Decisions) -> Past:
        """Say what a draw may know of an earlier configuration."""
        if self.study.identity.protocol == "nested":
            # Scores hold what is tested in the outer loop: draws must not follow them.
            return Past(configuration.settings, configuration.wave, "running")
        return past_of(configuration, decisions, self._comparison)

    def _replay(self, recorded: list[Configuration]) -> None:
        """Tell the schedule what the ledger already holds of a wave."""
        for configuration in recorded:
            for rung in range(len(self.study.rungs)):
                for training in self.study.of(configuration.number, rung):
                    self._schedule.finished(*training.key, training.outcome)

    def _end_drawing(self, n_configs: int, reason: str) -> None:
        """Record with how many configurations drawing ends, and what was asked for."""
        logger.warning("drawing ends with %d configurations: %s", n_configs, reason)
        asked = self._extent.budget.asked(self._extent.n_configs)
        self.ledger.append(DrawingEnded(time.time(), EndOfDrawing(n_configs, reason, asked)))
        self.flush()

    def _finished(self, train: Train, key: Key, result: TrainingResult) -> None:
        number, rung, fold = key
        if key in self.study.trainings:
            if self._repairs.is_lost(key):
                self._repaired(train, key, result)
            return
        if result.outcome == "ok" and result.seen != leaks.expected(self.study, rung, fold):
            result = replace(result, outcome="failed", error=leaks.RULE, points=(), seen=None)
        name = self.study.configurations[number].config_id
        block = train.members if len(train.members) > 1 else ()
        training = Training(number, name, rung, fold, train.attempt, result, block)
        # A failure must be durable before another fold of this configuration starts.
        is_urgent = result.outcome != "ok"
        self.ledger.append(TrainingEnded(training), is_urgent=is_urgent)

    def _repaired(self, train: Train, key: Key, result: TrainingResult) -> None:
        made = self._repairs.made(key, result)
        if made is None:
            self._not_repaired(replace(train, members=((key[0], key[2]),)), result.error)
        else:
            self.ledger.append(made)

    def _not_repaired(self, train: Train, reason: str) -> None:
        logger.warning("%s: its weights could not be made again: %s", _place(train), reason)

    def _died(self, train: Train, death: Death) -> None:
        """Queue a block again whose worker died, up to `MAX_ATTEMPTS` times."""
        where = _place(train)
        attempt = f"attempt {train.attempt} of {MAX_ATTEMPTS}"
        logger.warning("%s: its worker was lost (%s)", where, attempt)
        if self._is_repair(train):
            self._repairs.died(train)
            return
        self._n_own_deaths.update(train.keys if death.is_own else ())
        if self._source_of(train).lost(train):
            return
        if len(train.members) > 1:  # one of them may be the reason; alone it is found
            self._cut(train, "its worker was lost")
            return
        now = time.time()
        if self._n_own_deaths[train.key] < MAX_ATTEMPTS:
            error = f"its worker was lost {MAX_ATTEMPTS} times"
            self._finished(train, train.key, TrainingResult("lost", now, now, error=error))
            return
        error = self._crash(train, death)
        logger.warning("%s: %s", where, error)
        text = f"{error}\n{death.text}"
        crashed = TrainingResult("failed", now, now, error=text, is_crash=True)
        self._finished(train, train.key, crashed)

    def _crash(self, train: Train, death: Death) -> str:
        """Say that a configuration kills its workers, how, where, and what it tried."""
        host = f" on {death.host}" if death.host else ""
        settings = self.study.configurations[train.key[0]].settings
        return (
            f"its worker crashed {MAX_ATTEMPTS} times{host} ({self.cause_of(death)}); "
            f"settings: {settings.changes()}"
        )

    def _unfit(self, train: Train, reason: str, *, is_memory: bool) -> None:
        """Go on with smaller blocks where memory was short, else with two halves of this one."""
        if self._is_repair(train):  # as another block it would make other weights
            self._not_repaired(train, reason)
        elif not is_memory:
            self._cut(train, reason)
        else:
            block = self._source_of(train).split(train)
            logger.warning("blocks of %d from now on: %s: %s", block, _place(train), reason)
            self.ledger.append(BlockSized(time.time(), block), is_urgent=True)

    def _cut(self, train: Train, reason: str) -> None:
        """Train a block in two halves."""
        logger.warning("%s: in two blocks now: %s", _place(train), reason)
        for key in train.keys:
            del self._n_own_deaths[key]
        self._source_of(train).cut(train)

    def _source_of(self, train: Train) -> Schedule | Afterwards:
        """Return what gave a training that is no repair."""
        return self._afterwards if train.rung > self.study.loso_rung else self._schedule

    def _is_repair(self, train: Train) -> bool:
        return any(key in self.study.trainings for key in train.keys)

    def _returned(self, train: Train) -> None:
        """Queue a block again that a node refused."""
        if self._is_repair(train):
            self._repairs.returned(train)
        else:
            self._source_of(train).returned(train)

    def _shape_of(self, number: int) -> tuple[Value, ...]:
        """Say what trainings must have in common to be one stack."""
        settings = self.study.configurations[number].settings
        own = own_settings(settings)
        return tuple(value for name, value in settings.values().items() if name not in own)

    def _settle(self) -> None:
        """Rank the complete configurations, and delete the weights that are no longer needed."""
        standing = Standing(self.study, self._schedule.decisions)
        before = self._ranking[:1]
        self._ranking = standing.ranking
        if self._ranking and self._ranking[:1] != before:
            self.best = f"best {self.study.objective} {standing.score(self._ranking[0].number)}"
        self._retention.delete_surplus(standing)
        self._most_searched = sum(self._schedule.most_trainings())
        self.failure = self.failure or standing.first_wave_failure()
        self.is_stopping = self.is_stopping or bool(self.failure)


def _place(train: Train) -> str:
    """Name a block: its only training, or its first one and how many there are."""
    number, _, fold = train.keys[0]
    more = f" and {len(train.members) - 1} more" if len(train.members) > 1 else ""
    return f"configuration {number}, fold {fold}{more}"
