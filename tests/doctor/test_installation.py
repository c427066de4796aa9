"""What is installed is compared with what is needed; what is missing is named."""

import re
import sys
from importlib.metadata import requires, version

import pytest

from dianet_ray.doctor.installation import (
    check_cascade,
    check_packages,
    check_python,
    check_ray,
    check_scratch,
    check_torch,
    requirements,
)
from dianet_ray.errors import InputError
from dianet_ray.imaging.faces import CASCADE


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ((3, 10, 14), "bad"),
        ((3, 11, 0), "ok"),
        ((3, 13, 9), "ok"),
        ((3, 14, 0), "bad"),
        ((4, 0, 0), "bad"),
        ((2, 12, 0), "bad"),
    ],
)
def test_python_is_3_11_to_3_13(found, state):
    check = check_python(found)
    assert check.state == state
    assert ".".join(map(str, found)) in check.found
    assert check.advice == ("" if state == "ok" else "use Python 3.11 to 3.13")


def test_here_every_dependency_is_installed_and_ours_are_known():
    assert check_python(sys.version_info).state == "ok"
    assert check_packages().state == "ok"
    assert check_packages(requires("dianet-ray")).state == "ok"  # as where there is no checkout
    ours = {re.split(r"\W", one)[0] for one in requirements()}
    assert {"ray", "torch", "mlflow", "pydantic"} <= ours


def test_packages_that_lack_or_are_of_another_version_are_all_named_in_one_line():
    check = check_packages(["numpy>=2", "numpy>=99", "no-such-package>=1", "absent; extra == 'x'"])
    assert check.state == "bad"
    assert (
        check.found == f"numpy is {version('numpy')}, but must be >=99; no-such-package is missing"
    )
    assert "constraints.txt" in check.advice


def test_what_an_extra_of_a_dependency_needs_is_checked_too(monkeypatch):
    """Ray without [tune] imports, and fails an hour later."""
    assert check_packages(["ray[tune]"]).state == "ok"
    monkeypatch.setattr("importlib.metadata.version", without("tensorboardX"))
    assert check_packages(["ray"]).state == "ok"
    assert check_packages(["ray[tune]"]).found == "tensorboardX is missing"


def without(missing):
    def found(name):
        if name == missing:
            from importlib.metadata import PackageNotFoundError

            raise PackageNotFoundError(name)
        return version(name)

    return found


def test_torch_is_named_with_its_build():
    assert version("torch").partition("+")[0] in check_torch().found
    assert " build)" in check_torch().found


def test_the_cascade_of_opencv_is_there_and_missed_when_it_is_not(tmp_path):
    assert check_cascade().state == "ok"
    missing = check_cascade(tmp_path)
    assert (missing.state, str(tmp_path / CASCADE) in missing.found) == ("bad", True)
    assert "constraints.txt" in missing.advice
    (tmp_path / CASCADE).write_text("<opencv_storage></opencv_storage>")
    assert check_cascade(tmp_path).state == "bad"


def test_another_ray_is_refused(monkeypatch):
    assert check_ray().found == f"Ray {version('ray')}"
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.59.1")
    with pytest.raises(InputError, match=r"found 2\.59\.1"):
        check_ray()


def test_where_no_place_fits_the_sockets_of_a_local_ray_it_is_said(monkeypatch, tmp_path):
    assert check_scratch().state == "ok"
    monkeypatch.setattr("dianet_ray.cluster.scratch.bases", lambda: [tmp_path / ("a" * 60)])
    with pytest.raises(InputError, match="set RAY_TMPDIR"):
        check_scratch()
