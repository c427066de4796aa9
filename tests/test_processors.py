"""How many processors a process may use, with the files of control groups made by hand."""

import os

import pytest

from dianet_ray.processors import cpu_quota, processors

V1 = "sys/fs/cgroup/cpu,cpuacct"


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def v1(folder, quota, period="100000"):
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("", {}, None),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4.0),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        # The path of the host, of which the container sees the top alone.
        ("0::/docker/abc\n", {"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2.5),
        # A limit around the group holds within it.
        (
            "0::/slurm/job\n",
            {
                "sys/fs/cgroup/slurm/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/slurm/job/cpu.max": "max 100000\n",
            },
            2.0,
        ),
        (
            "0::/slurm/job\n",
            {
                "sys/fs/cgroup/slurm/cpu.max": "800000 100000\n",
                "sys/fs/cgroup/slurm/job/cpu.max": "300000 100000\n",
            },
            3.0,
        ),
        ("4:cpu,cpuacct:/docker/abc\n", v1(V1, "-1"), None),
        ("4:cpu,cpuacct:/docker/abc\n", v1(f"{V1}/docker/abc", "150000"), 1.5),
        ("4:cpu,cpuacct:/docker/abc\n", v1("sys/fs/cgroup/cpu", "400000"), 4.0),
        ("7:memory:/docker/abc\n", v1("sys/fs/cgroup/cpu", "400000"), None),
        (
            "4:cpu,cpuacct:/a\n0::/a\n",
            {**v1(f"{V1}/a", "600000"), "sys/fs/cgroup/unified/a/cpu.max": "300000 100000\n"},
            3.0,
        ),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "nonsense\n"}, None),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "100000 0\n"}, None),
    ],
)
def test_the_smallest_quota_of_all_groups_counts(tmp_path, group, files, expected):
    write(tmp_path, {"proc/self/cgroup": group, **files})
    assert cpu_quota(tmp_path) == expected


def test_the_smaller_of_affinity_and_quota_counts_and_is_named(tmp_path):
    allowed = len(os.sched_getaffinity(0))
    without = processors(tmp_path)
    assert without.n == allowed
    assert "quota" not in str(without)
    write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"})
    assert processors(tmp_path).n == 1  # never none
    assert "quota" in str(processors(tmp_path))
    more = f"{(allowed + 1) * 100000} 100000\n"
    write(tmp_path, {"sys/fs/cgroup/cpu.max": more})
    assert processors(tmp_path) == without
