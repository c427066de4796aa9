"""Every layout from `synth` to a searched study: what one command writes, the next one reads."""

import io

import pytest
from rich.console import Console
from sklearn.metrics import f1_score, recall_score

from dianet_ray.artefacts import Recipe
from dianet_ray.cluster.connection import Bundle, Cluster
from dianet_ray.datasets.label_sets import COMMONEST, label_set
from dianet_ray.datasets.manifest import UNREADABLE
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.datasets.summary import summarise
from dianet_ray.datasets.validation import inspect
from dianet_ray.options import PrepareOptions, SearchOptions
from dianet_ray.prepare.driver import prepare
from dianet_ray.prepare.images import load_images
from dianet_ray.progress import Progress
from dianet_ray.search.plan import make_plan
from dianet_ray.search.space_file import read_space
from dianet_ray.search.trial import FoldTrial
from dianet_ray.synth.data_set import write_data_set
from dianet_ray.synth.layout import read_layouts
from dianet_ray.synth.layouts import LAYOUTS
from dianet_ray.synth.planning import SynthOptions
from tests.support.fake_search import run_plan
from tests.support.reports import report_of

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]
TWO = Cluster("local", (Bundle(2, 0),))
ONE_STEP = ["steps=1", "batch_size=8", "heads=1", "embedding=16", "width=8"]
N_CLIPS = {"megc2019": 48}


def silent(title):
    return Progress(title, 1, unit="clips", console=Console(file=io.StringIO()))


def search(images, path):
    space = read_space("quick", ONE_STEP, None)
    options = SearchOptions(configs=1, repeats=0, gpus_per_trial=0.0, strategy="exhaustive")
    plan = make_plan(images, path, space=space, options=options)
    return run_plan(plan, images.images, FoldTrial).study


FAST = ("table",)
"""`casme2` is in test_pipeline.py. The others differ in nothing behind the manifest."""


@pytest.mark.parametrize(
    "layout",
    [pytest.param(layout, marks=() if layout in FAST else pytest.mark.slow) for layout in LAYOUTS],
)
def test_a_layout_is_written_validated_prepared_and_searched(layout, ray_local, tmp_path):
    options = SynthOptions(
        layout=layout,
        n_subjects=9,
        n_clips=N_CLIPS.get(layout, 36),
        image_size=32,
        n_frames=10,
    )
    made = write_data_set(tmp_path / "data", options, n_workers=1)
    dataset = read_layouts(layout)[0].dataset or layout
    manifest = read_manifest(dataset, tmp_path / "data")
    assert manifest.contradictions == ()
    with silent("validate") as progress:
        seen = inspect(manifest, crop="none", progress=progress)
    summary = summarise(seen, manifest.hash())
    notes = sum(row.reason.startswith("no name") for row in manifest.rows)  # SMIC's text rows
    assert summary.n_clips - notes == made.n_clips
    assert summary.duplicates == ()
    with silent("prepare") as progress:
        result = prepare(
            manifest, tmp_path / "images", PrepareOptions(recipe=Recipe(32)), progress=progress
        )
    images = load_images(tmp_path / "images")
    # A frame that does not open may be one that `validate` did not decode.
    n_seen = sum(row.reason.startswith(UNREADABLE) for row in seen.manifest.rows)
    n_lost = summary.states["left_out"] - n_seen + len(result.unreadable)
    assert (result.n_clips, result.n_left_out) == (summary.n_clips - n_lost, n_lost)
    assert len(result.unreadable) == (layout == "casme3")
    assert images.record.dataset == dataset
    study = search(images, tmp_path / "study")
    expected = label_set(
        COMMONEST.get(dataset, "all"),
        dataset,
        clips=list(zip(images.labels, images.subjects, strict=True)),
    )
    assert study.classes == expected.classes
    assert {clip.label for clip in study.clips} == set(range(len(expected.classes)))
    document = report_of(study)
    assert document.n_trainings == len(study.folds) == len({c.subject for c in study.clips})
    parts = document.champion.parts
    assert set(parts) == ({"casme2", "samm", "smic"} if layout == "megc2019" else set())
    predicted, truth = study.pooled(0).argmax(axis=1), study.labels()
    every = list(range(len(study.classes)))
    for name, part in parts.items():
        mine = [i for i, c in enumerate(study.clips) if c.subject.startswith(f"{name}/")]
        assert part.clips == len(mine)
        asked = {"labels": every, "average": "macro", "zero_division": 0}
        assert part.uf1 == pytest.approx(f1_score(truth[mine], predicted[mine], **asked))
        assert part.uar == pytest.approx(recall_score(truth[mine], predicted[mine], **asked))
        assert part.accuracy == pytest.approx((truth[mine] == predicted[mine]).mean())
