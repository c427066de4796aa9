"""The report of a made-up study, for tests of its views."""

from __future__ import annotations

from dianet_ray.protocol.standing import standing_of
from dianet_ray.protocol.study import Study
from dianet_ray.report.document import summarise
from dianet_ray.report.records import Report


def report_of(study: Study) -> Report:
    """Compute the report of a study as the command does, but for the importance of settings."""
    return summarise(standing_of(study), n_resamples=0)
