"""Every shipped space loads, draws, and builds networks."""

from pathlib import Path

import pytest

from dianet_ray.model.build import build
from dianet_ray.search.draw import draw
from dianet_ray.search.space_file import load_space, shipped

SHIPPED = sorted((Path(__file__).parent.parent / "search_spaces").rglob("*.yaml"))


def test_every_file_of_the_folder_is_a_shipped_space():
    assert [path.stem for path in SHIPPED] == sorted(shipped())


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED])
def test_a_shipped_space_draws_settings_that_build_a_network(name):
    drawn = draw(load_space(name), 0, wave=0, n=8, history=[])
    assert drawn
    assert len(set(drawn)) == len(drawn)
    for settings in drawn:
        assert sum(p.numel() for p in build(settings, 5, 64).parameters()) > 0


def test_the_comparison_of_phases_changes_phases_and_fusion_alone():
    variants = load_space("phases").first_settings
    assert {(s.phases, s.fusion) for s in variants} == {
        ("both", "cross_attention"),
        ("both", "concat"),
        ("onset_apex", "none"),
        ("apex_offset", "none"),
        ("whole_clip", "none"),
    }
    rest = [s.model_dump(exclude={"phases", "fusion"}) for s in variants]
    assert all(other == rest[0] for other in rest)


def test_the_space_for_real_work_searches_what_is_commonly_tuned():
    assert {
        "heads",
        "embedding",
        "learning_rate",
        "weight_decay",
        "dropout",
        "width",
        "batch_size",
        "fusion",
        "normalisation",
    } <= set(load_space("dianet").dimensions)
