"""Run a whole tracked search whose trainings train nothing, as a process of its own.

python -m tests.support.run_fake IMAGES STUDY N_CONFIGS N_WORKERS [--ladder GROUPS]
                                [--tracking-uri URI]

With --ladder a quarter of each rung is promoted. N_WORKERS 0 takes all that the cluster has.
FAKE_SECONDS is how long a training takes. With FAKE_LOG trainings are logged (`logged.py`).
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dianet_ray.cli.searching import Search
from dianet_ray.options import SearchOptions, TrackingOptions
from dianet_ray.prepare.images import Images, load_images
from dianet_ray.search.plan import Plan, make_plan
from dianet_ray.storage.addresses import located
from tests.support.fake_search import SPACE, FakeTrial
from tests.support.logged import LoggedTrial


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=Path)
    parser.add_argument("study", type=located)
    parser.add_argument("n_configs", type=int)
    parser.add_argument("n_workers", type=int)
    parser.add_argument("--ladder")
    parser.add_argument("--tracking-uri")
    words = parser.parse_args()
    os.environ["PYTHONPATH"] = os.getcwd()  # for the workers, which import the tests
    images = load_images(words.images)
    ladder = {"strategy": "ladder", "ladder": words.ladder, "keep": "1/4"}
    options = SearchOptions(
        configs=words.n_configs,
        wave_size=4,
        repeats=0,
        max_workers=words.n_workers or None,
        **(ladder if words.ladder else {"strategy": "exhaustive"}),
    )
    tracked_search(
        images,
        lambda: make_plan(images, words.study, space=SPACE, options=options),
        words.tracking_uri,
        trial=LoggedTrial if "FAKE_LOG" in os.environ else FakeTrial,
    )


def tracked_search(
    images: Images, plan: Callable[[], Plan], uri: str | None, *, trial: type[Any]
) -> None:
    """Run a whole search as the command does, with another trial."""
    Search(
        plan,
        images,
        TrackingOptions(uri=uri),
        address=None,
        started_at=time.time(),
        say=lambda text: print(text, file=sys.stderr),
        trial=trial,
    ).run()


if __name__ == "__main__":
    main()
