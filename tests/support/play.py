"""A searcher driven as Ray Tune drives it, without Tune, and what a study has decided."""

import random
from dataclasses import replace

from ray.tune.search import Searcher

from dianet_ray.protocol.results import TrainingResult
from dianet_ray.protocol.standing import standing_of
from dianet_ray.search.events import Answer, Started, order_of
from dianet_ray.search.plan import Plan
from tests.support.fake_search import WORKER, fake_predictions, searcher_of
from tests.support.studies import DRIVER


def answer_to(plan: Plan, order, outcome="ok"):
    """What a worker reports for an order."""
    if outcome != "ok":
        return Answer(TrainingResult("failed", 0.0, 1.0, error="ValueError: bad")).report()
    held_out = plan.study.rungs[order.rung][order.fold]
    labels, seed = plan.study.labels(), plan.study.identity.seed
    predictions = fake_predictions(order, held_out, labels, seed)
    return Answer(
        TrainingResult("ok", 0.0, 1.0, probabilities=predictions, environment=WORKER)
    ).report()


def play(plan, outcome=lambda order: "ok", *, n_workers=2, rng=None, n_events=10**9):
    """Drive a searcher as Tune does; stop without warning after n_events, as a kill does."""
    searcher, rng = searcher_of(plan), rng or random.Random(0)
    searcher.ledger.append(
        Started(0.0, n_workers, plan.n_configs, replace(DRIVER, n_configs=plan.n_asked))
    )
    busy, names = {}, iter(range(10**9))
    trained = []
    while n_events > 0:
        while len(busy) < n_workers:
            name = f"t{next(names)}"
            suggestion = searcher.suggest(name)
            if not isinstance(suggestion, dict):
                break
            busy[name] = order_of(suggestion)
        if not busy:
            assert suggestion == Searcher.FINISHED
            break
        name = rng.choice(sorted(busy))
        order = busy.pop(name)
        came = outcome(order)
        if came == "lost":
            searcher.on_trial_complete(name, error=True)
        else:
            trained.append((order.number, order.rung, order.fold))
            searcher.on_trial_complete(name, result=answer_to(plan, order, came))
        n_events -= 1
        if rng.random() < 0.3:
            searcher.flush()
    return searcher, trained


def decisions(study):
    """What must not depend on timing: draws, states, every record that counts, champion."""
    decided = standing_of(study)
    winner = decided.champion()
    return (
        [(c.number, c.config_id, c.wave) for c in study.configurations],
        decided.states(),
        [content(t) for c in study.configurations for t in decided.needed(c.number)],
        winner and winner.config_id,
    )


def content(training):
    """What a training says of the settings, whoever ran it and when."""
    probabilities = training.result.probabilities
    read = None if probabilities is None else probabilities.tobytes()
    return (*training.key, training.outcome, read)
