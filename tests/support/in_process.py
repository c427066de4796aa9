"""A search without Ray: a searcher, and workers in this process."""

from __future__ import annotations

import random
from dataclasses import replace

from dianet_ray.search.events import Answer, Results, Started, order_of
from dianet_ray.search.plan import Plan
from dianet_ray.search.searcher import StudySearcher
from dianet_ray.search.trial import Material
from tests.support.fake_search import FakeTrial, fake_images, searcher_of
from tests.support.studies import DRIVER


class Workers:
    """Trains what a searcher suggests in this process, finishing in random order."""

    def __init__(self, plan: Plan, *, n: int = 3, seed: float = 0) -> None:
        self.plan, self.n, self.rng = plan, n, random.Random(seed)
        study = plan.study
        self.trial = object.__new__(FakeTrial)
        self.trial._material = Material(
            images=fake_images(plan),
            labels=study.labels(),
            n_classes=len(study.classes),
            rungs=study.rungs,
            study_path=plan.path,
            seed=study.identity.seed,
            threads=1,
        )

    def run(self, searcher: StudySearcher, *, stop_after: int = 10**9) -> None:
        """Work until the searcher is done, or so many trainings have finished."""
        live: dict[str, dict[str, str]] = {}
        n_done = 0
        while n_done < stop_after:
            while len(live) < self.n:
                found = searcher.suggest(f"trial-{n_done}-{len(live)}-{self.rng.random()}")
                if not isinstance(found, dict):
                    break
                live[next(reversed(searcher.live))] = found
            if not live:
                return
            trial_id = self.rng.choice(sorted(live))
            order = order_of(live.pop(trial_id))
            assert order is not None
            made = self.trial.train_block(order)
            made.write()
            searcher.on_trial_complete(trial_id, Answer(Results(made.results)).report())
            searcher.flush()
            n_done += 1


def start(plan: Plan) -> StudySearcher:
    """Make a searcher as the driver does, with its start record."""
    plan.path.mkdir(exist_ok=True)
    searcher = searcher_of(plan)
    environment = replace(DRIVER, n_configs=plan.n_asked)
    searcher.ledger.append(Started(0.0, 3, plan.n_configs, environment))
    searcher.flush()
    return searcher
