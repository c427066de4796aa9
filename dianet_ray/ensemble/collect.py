"""Put a model folder that was fetched from MLflow where the user wants it, once it is checked."""

from __future__ import annotations

import shutil
from pathlib import Path

from dianet_ray.artefacts import CARD_JSON
from dianet_ray.ensemble.card import Card, read
from dianet_ray.errors import InputError
from dianet_ray.storage.outputs import output_folder


def collect(fetched: Path, out: Path) -> Card:
    """Check every file against the card and put the folder at `out`, whole or not at all.

    Collecting the same model again changes nothing.

    Args:
        fetched: the folder as it came from the server; only what the card names is taken.
        out: a new or empty folder, or the same model.

    Raises:
        InputError: a file is missing or damaged, or `out` holds something else.
    """
    card = read(fetched)
    if _is_same(fetched, out):  # its files may have been damaged since, so they are checked too
        return read(out)
    check_out(out)
    # Only what the card names: a server may hold more than it was given.
    with output_folder(out) as beside:
        # The card last: without it the folder is no model.
        for name in (*(fold.file for fold in card.folds), CARD_JSON):
            shutil.copyfile(fetched / name, beside / name)
    return read(out)


def check_out(out: Path) -> None:
    """Refuse a place that something else occupies.

    Raises:
        InputError: it is a file, or a folder that is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"collect needs a new or empty folder: {out} holds something else")


def _is_same(fetched: Path, out: Path) -> bool:
    """Whether `out` has the same card, and so should be the same model."""
    card = out / CARD_JSON
    return card.is_file() and card.read_bytes() == (fetched / CARD_JSON).read_bytes()
