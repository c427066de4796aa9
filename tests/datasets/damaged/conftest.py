"""Good data sets, made once, of which a test damages a copy."""

import shutil

import pytest

from tests.support.casme2_files import write_data_set, write_frame
from tests.support.damage import ROWS
from tests.support.tables import GOOD_TABLE


@pytest.fixture(scope="package")
def good(tmp_path_factory):
    """Write three good clips in CASME II's layout."""
    return write_data_set(tmp_path_factory.mktemp("good") / "data", ROWS)


@pytest.fixture
def root(good, tmp_path):
    return shutil.copytree(good, tmp_path / "data")


@pytest.fixture(scope="package")
def good_table(tmp_path_factory):
    """Write two good clips in the project's own table."""
    root = tmp_path_factory.mktemp("table") / "data"
    for k, clip in enumerate("ab"):
        for number in range(1, 8):
            write_frame(root / f"c/{clip}/{number}.jpg", 100 * k + number)
    (root / "clips.csv").write_text(GOOD_TABLE)
    return root


@pytest.fixture
def mine(good_table, tmp_path):
    return shutil.copytree(good_table, tmp_path / "data")
