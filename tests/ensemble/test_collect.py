import shutil

import pytest

from dianet_ray.artefacts import CARD_JSON
from dianet_ray.ensemble.card import read
from dianet_ray.ensemble.collect import collect
from dianet_ray.errors import InputError
from tests.support.models import edit, with_weights, write_model
from tests.support.studies import make_study


@pytest.fixture
def fetched(tmp_path):
    return write_model(with_weights(make_study(3, 2), tmp_path / "study"), tmp_path / "model")


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("is_there", [False, True])
def test_a_model_is_put_into_a_new_or_empty_folder(fetched, tmp_path, is_there):
    out = tmp_path / "models" / "best"
    if is_there:
        out.mkdir(parents=True)
    assert collect(fetched, out) == read(fetched)
    assert names(out) == names(fetched)
    assert names(out.parent) == ["best"]


def test_collecting_the_same_model_again_changes_nothing(fetched, tmp_path):
    out = tmp_path / "out"
    collect(fetched, out)
    before = {file.name: file.stat().st_mtime_ns for file in out.iterdir()}
    collect(fetched, out)
    assert {file.name: file.stat().st_mtime_ns for file in out.iterdir()} == before


def test_what_the_card_does_not_name_is_not_taken(fetched, tmp_path):
    (fetched / "extra.sh").write_text("echo")
    collect(fetched, tmp_path / "out")
    assert "extra.sh" not in names(tmp_path / "out")


def test_a_folder_that_holds_something_else_is_refused_and_kept(fetched, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        collect(fetched, out)
    assert names(out) == ["thesis.txt"]
    with pytest.raises(InputError, match="holds something else"):
        collect(fetched, out / "thesis.txt")


def test_another_model_is_not_overwritten(fetched, tmp_path):
    out = tmp_path / "out"
    collect(fetched, out)
    edit(fetched, n_configs=99)
    with pytest.raises(InputError, match="holds something else"):
        collect(fetched, out)


def test_a_damaged_download_leaves_nothing_behind(fetched, tmp_path):
    (fetched / "fold-001.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="fold-001"):
        collect(fetched, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_collected_model_that_was_damaged_since_is_not_called_done(fetched, tmp_path):
    collect(fetched, tmp_path / "out")
    (tmp_path / "out" / "fold-000.safetensors").unlink()
    with pytest.raises(InputError, match="fold-000"):
        collect(fetched, tmp_path / "out")


def test_what_an_earlier_collect_left_half_done_is_cleared(fetched, tmp_path):
    shutil.copytree(fetched, tmp_path / ".out.part")
    (tmp_path / ".out.part" / CARD_JSON).unlink()
    collect(fetched, tmp_path / "out")
    assert not (tmp_path / ".out.part").exists()
