"""A searcher driven as Ray Tune drives it, without Tune, and what a study has decided."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ray.tune.search import Searcher

from dianet_ray.protocol import leaks
from dianet_ray.protocol.results import Outcome, Training, TrainingResult
from dianet_ray.protocol.schedule import Key
from dianet_ray.protocol.standing import standing_of
from dianet_ray.protocol.study import State, Study
from dianet_ray.search.events import Answer, Order, Results, Started, order_of
from dianet_ray.search.plan import Plan
from dianet_ray.search.searcher import StudySearcher
from tests.support.fake_search import WORKER, fake_points, searcher_of
from tests.support.studies import DRIVER


def answer_to(
    plan: Plan, order: Order, outcome: Callable[[Order], Outcome] = lambda order: "ok"
) -> dict[str, Any]:
    """Return what a worker reports for an order; `outcome` is asked for each member alone."""
    labels, seed = plan.study.labels(), plan.study.identity.seed
    worker = replace(WORKER, block=len(order.members))
    results = []
    for member in order.members:
        if outcome(replace(order, members=(member,))) == "failed":
            results.append(TrainingResult("failed", 0.0, 1.0, error="ValueError: bad"))
            continue
        held_out = plan.study.folds_of(order.rung)[member.fold]
        points = fake_points(order.rung, member, held_out, labels, seed)
        seen = leaks.expected(plan.study, order.rung, member.fold)
        results.append(TrainingResult("ok", 0.0, 1.0, points, environment=worker, seen=seen))
    return Answer(Results(tuple(results))).report()


def play(
    plan: Plan,
    outcome: Callable[[Order], Outcome] = lambda order: "ok",
    *,
    n_workers: int = 2,
    rng: random.Random | None = None,
    n_events: int = 10**9,
    **hooks: Callable[[Any], Any],
) -> tuple[StudySearcher, list[Key]]:
    """Drive a searcher as Tune does; stop without warning after n_events, as a kill does.

    `hooks` are attributes of the searcher that its driver sets.

    Returns:
        The searcher, and what was trained, in the order in which it ended.
    """
    searcher, rng = searcher_of(plan), rng or random.Random(0)
    for name, hook in hooks.items():
        setattr(searcher, name, hook)
    searcher.ledger.append(
        Started(0.0, n_workers, plan.n_configs, replace(DRIVER, n_configs=plan.n_asked))
    )
    busy: dict[str, Order] = {}
    names = (f"t{number}" for number in range(10**9))
    trained: list[Key] = []
    while n_events > 0:
        if not _filled(searcher, busy, names=names, n_workers=n_workers):
            break
        name = rng.choice(sorted(busy))
        order = busy.pop(name)
        if any(outcome(replace(order, members=(one,))) == "lost" for one in order.members):
            searcher.on_trial_complete(name, error=True)
        else:
            trained += [(one.number, order.rung, one.fold) for one in order.members]
            searcher.on_trial_complete(name, result=answer_to(plan, order, outcome))
        n_events -= 1
        if rng.random() < 0.3:
            searcher.flush()
    return searcher, trained


def _filled(
    searcher: StudySearcher, busy: dict[str, Order], *, names: Any, n_workers: int
) -> bool:
    """Give every free worker an order, as long as there is one; say whether any is busy."""
    suggestion: Any = None
    while len(busy) < n_workers:
        name = next(names)
        suggestion = searcher.suggest(name)
        if not isinstance(suggestion, dict):
            break
        order = order_of(suggestion)
        assert order is not None
        busy[name] = order
    assert busy or suggestion == Searcher.FINISHED, "idle workers wait for a search that is over"
    return bool(busy)


Content = tuple[int, int, int, Outcome, tuple[tuple[int, bytes], ...]]
"""What a training says of the settings: number, rung, fold, outcome, probabilities."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What must not depend on timing: number, config_id and wave of every draw, states, champion.

    `needed` holds every training that a decision or a score reads.
    """

    drawn: list[tuple[int, str, int]]
    states: list[State]
    needed: list[list[Content]]
    champion: str | None


def decisions(study: Study) -> Decided:
    """Collect what a study has decided."""
    standing = standing_of(study)
    champion = standing.champion()
    return Decided(
        drawn=[(c.number, c.config_id, c.wave) for c in study.configurations],
        states=standing.states(),
        needed=[[content(t) for t in standing.needed(c.number)] for c in study.configurations],
        champion=None if champion is None else champion.config_id,
    )


def content(training: Training) -> Content:
    """Keep what a training says of the settings, whoever ran it and when."""
    read = tuple((point.steps, point.probabilities.tobytes()) for point in training.points)
    return (*training.key, training.outcome, read)
