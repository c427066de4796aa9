"""A search on a cluster without workers is refused when none can come, else waits for them."""

import json
import os
import subprocess
import sys

import pytest

from dianet_ray.search.study_file import load_study
from tests.support.clusters import ROOT, RealCluster
from tests.support.images import write_images

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]
HEAD = "f" * 51 + "00000"  # the node id that Ray's own provider for tests gives to the head
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"


class GrowingCluster(RealCluster):
    """A head without CPUs whose autoscaler starts nodes of one CPU on this machine, up to two."""

    def _start(self, cpus, *words):
        self.environment |= {
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
        }
        config = self.folder / "autoscaling.json"
        lists = ("setup", "head_setup", "worker_setup", "initialization")
        starts = ("head_start_ray", "worker_start_ray")
        provider = {"type": "external", "module": PROVIDER, "launch_multiple": True}
        config.write_text(
            json.dumps(
                {
                    **{f"{name}_commands": [] for name in (*lists, *starts)},
                    **{name: {} for name in ("auth", "file_mounts", "docker")},
                    **{name: [] for name in ("rsync_exclude", "rsync_filter")},
                    "cluster_synced_files": [],
                    "file_mounts_sync_continuously": False,
                    "upscaling_speed": 1.0,
                    "cluster_name": "growing",
                    "max_workers": 2,
                    "idle_timeout_minutes": 5,
                    "provider": {**provider, "head_node_id": HEAD, "gcs_address": self.address},
                    "head_node_type": "ray.head.default",
                    "available_node_types": {
                        "ray.head.default": {
                            "resources": {"CPU": 0},
                            "node_config": {},
                            "max_workers": 0,
                        },
                        "worker": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 2},
                    },
                }
            )
        )
        node = super()._start(cpus, *words, "--autoscaling-config", config)
        for name in ("RAY_CLOUD_INSTANCE_ID", "RAY_OVERRIDE_NODE_ID_FOR_TESTING"):
            del self.environment[name]  # the head's alone
        return node


@pytest.fixture(scope="module")
def cluster():
    with GrowingCluster() as cluster:
        yield cluster


def search(cluster, images, study, *words):
    command = ["search", images, study, "--space", "quick", "--configs", "2", "--set", "steps=4"]
    command += ["--repeats", "0"]
    command += ["--strategy", "exhaustive"]
    return subprocess.run(
        [sys.executable, "-m", "dianet_ray", *map(str, [*command, *words])],
        env={**cluster.environment, "RAY_ADDRESS": cluster.address, "PYTHONPATH": str(ROOT)},
        cwd=os.path.dirname(study),
        capture_output=True,
        text=True,
    )


def test_a_trial_that_no_node_type_holds_is_refused_and_nodes_that_can_come_are_awaited(
    cluster, tmp_path
):
    images = write_images(tmp_path / "images")
    refused = search(cluster, images, tmp_path / "big", "--cpus-per-trial", 3)
    assert refused.returncode == 2, refused.stderr
    assert "a trial needs 3 CPUs and 0 GPUs on one node" in refused.stderr.splitlines()[-1]
    done = search(cluster, images, tmp_path / "study")
    assert done.returncode == 0, done.stderr
    assert "no node can hold a trial yet" in done.stderr
    study = load_study(tmp_path / "study")
    assert len(study.trainings) == 2 * len(study.folds)
    assert study.spans[0].n_workers < 2
    assert max(n for _, n in study.spans[0].changes) == 2, (
        "the cluster did not grow to its largest size"
    )
