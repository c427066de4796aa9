"""A study in a folder whose name means something else in an address."""

import pytest

from dianet_ray.ensemble.card import read
from dianet_ray.protocol.standing import standing_of
from dianet_ray.tracking import store
from dianet_ray.tracking.download import download_model, download_study
from dianet_ray.tracking.projection import Projection
from tests.support.models import card_of, with_weights
from tests.support.studies import make_study

pytestmark = [pytest.mark.mlflow, pytest.mark.usefixtures("empty_working_directory")]


@pytest.mark.parametrize("as_given", [False, True])
def test_a_study_is_written_beside_itself_and_comes_back(tmp_path, as_given):
    """`%41` would be an A, `?` begins options, `#` a fragment; accents and blanks are quoted."""
    folder = tmp_path / "100%41 a?b #c é"
    path = folder / "study"
    path.mkdir(parents=True)
    study = with_weights(make_study(3, 2), path)
    uri = store.choose_uri(None, path)
    # What was chosen may be given again, as the hint for `mlflow ui` does.
    client = store.connect(store.choose_uri(uri) if as_given else uri)
    standing = standing_of(study)
    Projection(client, "special", path).finish(standing, card_of(study))
    assert (folder / "mlflow.db").is_file()
    assert sorted(found.name for found in tmp_path.iterdir()) == [folder.name, "working-directory"]
    for name, fetch in (
        ("one", lambda to: download_study(client, standing, to)),
        ("two", lambda to: download_model(client, "dianet-casme2-3@champion", to)),
    ):
        (folder / name).mkdir()
        assert read(fetch(folder / name)).folds
