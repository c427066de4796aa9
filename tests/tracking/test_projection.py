from dataclasses import replace

import numpy as np
import pytest
from mlflow import MlflowClient

from dianet_ray.artefacts import fold_file
from dianet_ray.errors import InputError
from dianet_ray.protocol.standing import standing_of
from dianet_ray.tracking.projection import Projection
from tests.support.mlflow_tree import dump_tree
from tests.support.models import card_of
from tests.support.studies import ending

pytestmark = [pytest.mark.mlflow, pytest.mark.usefixtures("empty_working_directory")]


def project(made, experiment, study=None, *, client=None):
    """Write a study with a Projection that knows nothing, as another process would."""
    standing = standing_of(study or made.study)
    projection = Projection(client or made.client, experiment, made.path)
    projection.finish(standing, card_of(study) if study else made.card)
    return dump_tree(made.client, experiment)


def update(made, study):
    """Write a study without its champion's models, as a search does on its way."""
    Projection(made.client, made.name, made.path).update(standing_of(study))
    return dump_tree(made.client, made.name)


def after(study, n_trainings):
    """The study as it was after its first trainings."""
    first = dict(list(study.trainings.items())[:n_trainings])
    return replace(study, trainings=first)


def outcome_of(study, number, outcome):
    """The study with one training of a configuration ending otherwise."""
    key = (number, 0, 1)
    ended = ending(study.trainings[key], outcome, "why")
    return replace(study, trainings={**study.trainings, key: ended})


class Dies(Exception):
    """The process is killed."""


class WatchedClient:
    """A client that calls `before(n)` ahead of its n-th writing call, from 0."""

    READING = ("get_", "search_", "list_", "tracking_uri")

    def __init__(self, client, before):
        self._client, self._before, self._n_calls = client, before, 0

    def __getattr__(self, name):
        found = getattr(self._client, name)
        if name.startswith(self.READING):
            return found

        def call(*args, **kwargs):
            self._n_calls += 1
            self._before(self._n_calls - 1)
            return found(*args, **kwargs)

        return call


def mortal(client, n_calls):
    """A client whose process is killed before its n-th writing call."""

    def before(n):
        if n == n_calls:
            raise Dies

    return WatchedClient(client, before)


def test_a_study_is_a_tree_of_runs_with_the_champions_folds_and_one_registered_model(made):
    tree = project(made, made.name)
    champion = made.standing.champion()
    place = f"study/{champion.number:03d}-{champion.config_id}"
    folds = [f"{place}/fold-{fold.index:03d}" for fold in made.study.folds]
    configurations = [f"study/{c.number:03d}-{c.config_id}" for c in made.study.configurations]
    assert list(tree["runs"]) == sorted(["study", *configurations, *folds])
    assert all(len(copies) == 1 for copies in tree["runs"].values())
    (study,), (best,), (fold,) = (tree["runs"][name] for name in ("study", place, folds[2]))
    assert study["tags"]["dianet.champion"] == champion.config_id
    assert best["params"]["heads"] == str(champion.settings.heads)
    uf1 = next(value for key, _, value in best["values"] if key == "uf1")
    assert ("best/uf1", len(configurations) - 1, uf1) in study["values"]
    steps = [step for key, step, _ in best["values"] if key == "fold/accuracy"]
    assert steps == [fold.index for fold in made.study.folds]
    assert [p for p in fold["values"] if p[0] == "train/loss"] == [
        ("train/loss", 10, 1.1),
        ("train/loss", 20, 0.9),
    ]
    assert set(fold["artifacts"]) == {"card.json", fold_file(2)}
    (model,) = tree["models"][place]
    files = {f"artifacts/model/{fold_file(f.index)}" for f in made.study.folds}
    assert files < set(model["artifacts"])
    name = f"dianet-{made.name}-3"
    assert tree["registered"][name]["aliases"] == {"champion": 0}
    assert len(tree["registered"][name]["versions"]) == 1


def test_projecting_again_changes_nothing(made):
    projection = Projection(made.client, made.name, made.path)
    projection.finish(made.standing, made.card)
    once = dump_tree(made.client, made.name)
    projection.update(made.standing)
    projection.finish(made.standing, made.card)
    assert dump_tree(made.client, made.name) == once
    assert project(made, made.name) == once


def test_a_study_projected_in_steps_by_many_processes_equals_one_projected_at_the_end(made):
    whole = project(made, f"{made.name}-at-once")
    for n_trainings in (0, 2, 5, 9):
        update(made, after(made.study, n_trainings))
    assert project(made, made.name) == whole


def test_a_writer_killed_again_and_again_leaves_the_same_tree(made):
    whole = project(made, f"{made.name}-at-once")
    for n_killed in range(40):
        try:
            tree = project(made, made.name, client=mortal(made.client, 6 + n_killed % 3))
            break
        except Dies:
            continue
    assert n_killed > 2
    assert tree == whole


@pytest.mark.parametrize("n_calls", [0, 1, 4, 14, 30])
def test_what_two_processes_write_at_once_is_put_in_order_by_the_next(made, n_calls):
    whole = project(made, f"{made.name}-at-once")

    trees = []

    def before(n):
        if n == n_calls:
            trees.append(project(made, made.name))

    Projection(WatchedClient(made.client, before), made.name, made.path).finish(
        made.standing, made.card
    )
    runs = update(made, made.study)["runs"]
    assert trees == [whole]
    assert all(len(copies) == 1 for copies in runs.values())
    assert project(made, made.name) == whole


def test_a_run_that_exists_twice_loses_its_copy(made):
    whole = project(made, made.name)
    (run,) = made.client.search_runs(
        [made.client.get_experiment_by_name(made.name).experiment_id],
        "tags.`dianet.number` = '1'",
    )
    tags = {k: v for k, v in run.data.tags.items() if k != "dianet.state"}
    made.client.create_run(run.info.experiment_id, tags=tags, run_name=run.info.run_name)
    assert dump_tree(made.client, made.name) != whole
    assert project(made, made.name) == whole


@pytest.mark.parametrize("outcome", ["failed", "lost"])
def test_a_configuration_that_failed_has_its_state_and_no_scores(made, outcome):
    study = outcome_of(made.study, 0, outcome)
    tree = project(made, made.name, study)
    (run,) = tree["runs"][f"study/000-{study.configurations[0].config_id}"]
    assert run["status"] == "FAILED"
    assert run["tags"]["dianet.state"] == outcome
    assert run["values"] == run["seconds"] == []


def first_two(study):
    """The study before its last configuration, the champion, was drawn."""
    small = replace(study, configurations=study.configurations[:2])
    return replace(small, trainings={k: t for k, t in small.trainings.items() if k[0] < 2})


def still_running(study):
    """The study while another configuration runs."""
    another = replace(
        study.configurations[0],
        number=len(study.configurations),
        config_id="another",
        settings=study.configurations[0].settings.model_copy(update={"heads": 8}),
    )
    return replace(study, configurations=(*study.configurations, another))


def test_the_champion_of_an_unfinished_study_is_written_and_the_study_stays_open(made):
    before = first_two(made.study)
    project(made, made.name, before)
    tree = project(made, made.name, still_running(made.study))
    (study,) = tree["runs"]["study"]
    assert (study["status"], study["tags"]["dianet.state"]) == ("RUNNING", "running")
    champion = made.standing.champion()
    assert study["tags"]["dianet.champion"] == champion.config_id
    folds = [name for name in tree["runs"] if "/fold-" in name]
    assert len(folds) == len(made.study.folds)
    assert {name.split("/")[1] for name in folds} == {f"002-{champion.config_id}"}
    (registered,) = tree["registered"].values()
    former = standing_of(before).champion().config_id
    assert [v["dianet.config_id"] for v in registered["versions"]] == [former]


def test_writing_the_champion_on_the_way_leaves_the_tree_of_a_study_written_at_its_end(made):
    n_folds = len(made.study.folds)
    for n_trainings in (n_folds + 1, 2 * n_folds + 2):
        project(made, made.name, after(made.study, n_trainings))
    assert project(made, made.name) == project(made, f"{made.name}-at-once")


def test_a_study_without_a_complete_configuration_is_sealed_and_opened_when_it_grows(made):
    study = outcome_of(first_two(made.study), 0, "failed")
    (run,) = update(made, study)["runs"]["study"]
    assert run["status"] == "RUNNING"
    study = outcome_of(study, 1, "lost")
    once = update(made, study)
    (run,) = once["runs"]["study"]
    assert (run["status"], run["tags"]["dianet.state"]) == ("FAILED", "failed")
    assert update(made, study) == once
    (run,) = update(made, still_running(study))["runs"]["study"]
    assert run["status"] == "RUNNING"


def test_when_a_study_grows_a_new_champion_takes_the_place_of_the_former(made):
    champion = made.standing.champion()
    assert champion.number == 2
    small = first_two(made.study)
    project(made, made.name, small)
    grown = project(made, made.name)
    at_once = project(made, f"{made.name}-at-once")
    for run in [*grown["runs"].values(), *at_once["runs"].values()]:
        run[0].pop("n_models")  # the former champion keeps the model that it was registered with
    assert grown["runs"] == at_once["runs"]
    (registered,) = grown["registered"].values()
    assert [v["dianet.config_id"] for v in registered["versions"]] == [
        standing_of(small).champion().config_id,
        champion.config_id,
    ]


def test_the_alias_stays_with_the_newest_study_when_an_older_one_is_written_again(made):
    project(made, made.name)
    later = tuple(replace(span, started_at=span.started_at + 1) for span in made.study.spans)
    newer = replace(made.study, spans=later)
    project(made, made.name, newer)
    (model,) = made.client.search_registered_models(f"name = 'dianet-{made.name}-3'")
    assert {k: int(v) for k, v in model.aliases.items()} == {"champion": 2}
    project(made, made.name)
    (model,) = made.client.search_registered_models(f"name = 'dianet-{made.name}-3'")
    assert {k: int(v) for k, v in model.aliases.items()} == {"champion": 2}


def test_a_renamed_study_folder_renames_its_run(made):
    update(made, made.study)
    update(made, replace(made.study, name="other"))
    runs = made.client.search_runs(
        [made.client.get_experiment_by_name(made.name).experiment_id],
        "tags.`dianet.kind` = 'study'",
    )
    assert [run.info.run_name for run in runs] == ["other"]


def test_damaged_weights_are_refused_in_one_line(made):
    file = made.path / made.study.of(made.standing.champion().number)[1].points[-1].weights.path
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="fold 1 is missing or damaged") as error:
        project(made, made.name)
    assert "\n" not in str(error.value)


def test_pictures_of_subjects_are_written_only_when_they_are_given(made):
    tree = project(made, made.name)
    (study,) = tree["runs"]["study"]
    assert set(study["artifacts"]) == {"identity.json"}
    assert not [n for runs in tree["runs"].values() for n in runs[0]["artifacts"] if "png" in n]
    faces = {"casme2/sub01/EP02_01f": np.zeros((3, 8, 8, 3), np.float16)}
    projection = Projection(made.client, made.name, made.path, faces=faces)
    projection.finish(made.standing, made.card)
    (study,) = dump_tree(made.client, made.name)["runs"]["study"]
    assert sum(name.endswith(".png") for name in study["artifacts"]) == 3


def test_artifacts_lie_beside_the_database(made):
    project(made, made.name)
    experiment = made.client.get_experiment_by_name(made.name)
    database = made.client.tracking_uri.removeprefix("sqlite:///")
    assert (
        experiment.artifact_location
        == f"file://{database.removesuffix('mlflow.db')}mlflow-artifacts"
    )
    assert isinstance(made.client, MlflowClient)
