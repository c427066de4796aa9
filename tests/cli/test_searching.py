"""The `search` command from within: what it leaves behind when it is stopped."""

from dataclasses import replace

import pytest

from dianet_ray.cli.searching import Search
from dianet_ray.errors import Stopped
from dianet_ray.options import TrackingOptions
from dianet_ray.search.study_file import load_study
from dianet_ray.tracking.store import connect
from tests.support.fake_search import fake_plan
from tests.support.in_process import Workers, start

SIZES = {"n_subjects": 3, "n_configs": 4, "wave_size": 2, "repeats": 2}


@pytest.mark.mlflow
@pytest.mark.parametrize(("n_trained", "n_models"), [(7, 0), (14, 1)])
def test_a_search_that_is_stopped_during_repeats_has_published_its_champion(
    tmp_path, monkeypatch, n_trained, n_models
):
    """LOSO of four configurations takes 12 trainings; what follows changes no champion."""
    path, uri = tmp_path / "study", f"sqlite:///{tmp_path / 'mlflow.db'}"
    plan = fake_plan(path, **SIZES)
    Workers(plan, n=1).run(start(plan), stop_after=n_trained)

    def stopped(*given):
        raise Stopped("stopped at once")

    monkeypatch.setattr(Search, "_train", stopped)
    search = Search(
        lambda: replace(plan, study=load_study(path)),
        images=None,
        tracking=TrackingOptions(uri=uri),
        address=None,
        started_at=0.0,
        say=lambda line: None,
    )
    with pytest.raises(Stopped):
        search.run()
    assert len(connect(uri).search_registered_models()) == n_models
