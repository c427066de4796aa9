"""Compare configurations of a study, or the champions of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dianet_ray.errors import InputError
from dianet_ray.protocol.standing import standing_of
from dianet_ray.report.contrasts import Contrasts, contrasts, of_champions, of_study
from dianet_ray.search.study_file import load_study


def compare(studies: Sequence[Path], wanted: str | None) -> Contrasts:
    """Compare what `--compare` names in the only study, else the champions of all of them.

    Raises:
        InputError: no such configurations, or studies that cannot be compared.
    """
    if wanted is not None and len(studies) > 1:
        raise InputError(f"--compare is of one study: got {len(studies)} studies")
    standings = [standing_of(load_study(study)) for study in studies]
    if wanted is None:
        return contrasts(of_champions(standings))
    return contrasts(of_study(standings[0], wanted))
