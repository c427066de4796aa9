"""A whole tracked search whose trainings train nothing, as a process of its own.

python -m tests.search.run_fake IMAGES STUDY N_CONFIGS N_WORKERS
"""

import os
import sys
import time
from pathlib import Path

from dianet_ray.commands import Search
from dianet_ray.data.images import load_images
from dianet_ray.options import SearchOptions, TrackingOptions
from dianet_ray.search.plan import make_plan
from tests.search.fake import SPACE, FakeTrial


def main():
    images_path, study, n_configs, n_workers = sys.argv[1:]
    os.environ["PYTHONPATH"] = os.getcwd()  # for the workers, which import the tests
    images = load_images(Path(images_path))
    options = SearchOptions(configs=int(n_configs), wave_size=4, max_workers=int(n_workers))
    Search(
        lambda: make_plan(images, Path(study), space=SPACE, options=options),
        images,
        TrackingOptions(),
        address=None,
        started_at=time.time(),
        say=lambda text: print(text, file=sys.stderr),
        trial=FakeTrial,
    ).run()


if __name__ == "__main__":
    main()
