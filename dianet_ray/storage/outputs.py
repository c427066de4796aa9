"""Writing what a command was asked for: whole or not at all, and failures in one line.

An output folder is made as `.NAME.part` beside it and renamed at the end, so that what exists
under its own name is complete; what an interrupted run left is removed by the next one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dianet_ray.storage.files import writing


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder that becomes `path`, which may be an empty folder, at the end.

    Raises:
        InputError: the block, or the renaming, raised an OSError.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        with writing(path):
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            yield beside
            if path.exists():
                path.rmdir()
            beside.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
