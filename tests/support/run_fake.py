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
from pathlib import Path

from dianet_ray.cli.commands import Search
from dianet_ray.options import SearchOptions, TrackingOptions
from dianet_ray.prepare.images import load_images
from dianet_ray.search.plan import make_plan
from dianet_ray.storage.files import located
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
        max_workers=words.n_workers or None,
        **(ladder if words.ladder else {"strategy": "exhaustive"}),
    )
    Search(
        lambda: make_plan(images, words.study, space=SPACE, options=options),
        images,
        TrackingOptions(uri=words.tracking_uri),
        address=None,
        started_at=time.time(),
        say=lambda text: print(text, file=sys.stderr),
        trial=LoggedTrial if "FAKE_LOG" in os.environ else FakeTrial,
    ).run()


if __name__ == "__main__":
    main()
