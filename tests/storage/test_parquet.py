"""A parquet file from somebody else runs no code."""

import io
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dianet_ray.errors import InputError
from dianet_ray.prepare.images import load_images
from dianet_ray.prepare.part_files import read_part
from dianet_ray.storage.parquet import read_parquet
from tests.support.images import write_images


class Trap:
    """Unpickled, it touches a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def with_objects(values):
    """Make the column that Ray Data makes of Python objects."""
    from ray.data._internal.object_extensions.arrow import ArrowPythonObjectArray

    return ArrowPythonObjectArray.from_objects(values)


def encoded(table):
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


@pytest.fixture
def trapped(tmp_path):
    """IMAGES whose clip ids are pickled objects; Ray's types are known to pyarrow."""
    import ray.data  # noqa: F401

    images = write_images(tmp_path / "images")
    part = images / "clips" / "part-000000.parquet"
    table = pq.read_table(part)
    traps = with_objects([Trap(tmp_path / "sprung")] * table.num_rows)
    pq.write_table(table.set_column(0, "clip_id", traps), part)
    return images


def test_pickled_objects_in_images_are_refused_and_never_unpickled(trapped, tmp_path):
    with pytest.raises(InputError, match=r"damaged IMAGES.*clip_id has an unsupported type"):
        load_images(trapped)
    assert read_part(trapped / "clips" / "part-000000.parquet") == {}
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung"))).close()
    assert (tmp_path / "sprung").exists(), "the trap works"


def test_objects_inside_of_lists_are_refused_too():
    hidden = pa.ListArray.from_arrays(pa.array([0, 1]), with_objects([{}]))
    with pytest.raises(pa.ArrowException):
        read_parquet(encoded(pa.table({"a": hidden})))


def test_plain_columns_and_tensors_are_read():
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((2, 3, 3), np.float16))
    table = pa.table({"text": ["a", "b"], "number": [1, None], "list": [[1], []], "t": tensors})
    assert read_parquet(encoded(table)).equals(table)
    assert read_parquet(encoded(table), ["text"]).column_names == ["text"]
