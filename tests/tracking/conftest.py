"""One MLflow store for all tests of tracking: making a new one takes seconds."""

import zlib
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dianet_ray.protocol.standing import standing_of
from dianet_ray.tracking import store
from tests.support.models import card_of, with_weights
from tests.support.studies import make_study


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    return store.connect(store.choose_uri(None, folder / "study"))


@pytest.fixture
def made(client, tmp_path, request):
    """A finished study of 3 configurations on disk, its standing and card, a name in MLflow."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    path = tmp_path / "study"
    path.mkdir()
    study = with_weights(make_study(3, 3), path)
    started_at = 1000 + zlib.crc32(name.encode()) % 10**6  # no study but this one started then
    study = replace(
        study,
        origin=replace(study.origin, dataset=name),
        spans=(replace(study.spans[0], started_at=started_at),),
    )
    return SimpleNamespace(
        client=client,
        name=name,
        path=path,
        study=study,
        standing=standing_of(study),
        card=card_of(study),
    )


@pytest.fixture
def empty_working_directory(tmp_path, monkeypatch):
    """Go to an empty folder and check that it is left empty."""
    folder = tmp_path / "working-directory"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield
    assert list(folder.iterdir()) == []
