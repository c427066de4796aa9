"""What the scripts of cluster/ do; `ray`, `srun` and their like are stand-ins."""

import os
import shlex
import signal
import stat
import subprocess
import sys
import time
import zipfile

import pytest

from tests.support.recipes import CLUSTER, ROOT, run, stand_in


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["casme2", "data", "/out", "--", "--space", "q"], "that every node sees: got data"),
        (["casme2", "/data", "out", "--", "--space", "q"], "OUT must be an absolute path, s3:"),
        (["casme2", "/data", "/out", "--", "--configs", "1"], "--space"),
        (["casme2", "/data", "/out", "--space", "q"], "--space"),
        (["--address", "head:6379", "casme2", "/d", "/o", "--", "--space=q"], "http://head:8265"),
        (["casme2", "/data"], "DATASET ROOT OUT"),
    ],
)
def test_submit_refuses_before_anything_is_sent(words, said, tmp_path):
    stand_in(tmp_path, "ray", "echo sent")
    found = run(CLUSTER / "submit.sh", *words, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert found.returncode == 2
    assert said in found.stderr
    assert not found.stdout


def test_submitted_words_arrive_as_they_were_given(tmp_path):
    """The job runs through Ray's shell, bash and ours: paths with blanks and quotes survive."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    # As Ray does it: the words are joined by shlex, and run by sh in the uploaded folder.
    stand_in(bin_, "ray", f'exec {sys.executable} "{bin_}/submitted.py" "$@"')
    (bin_ / "submitted.py").write_text(
        "import os, shlex, sys\n"
        "words = sys.argv[sys.argv.index('--') + 1 :]\n"
        "print(os.environ['RAY_AUTH_MODE'], os.getcwd(), flush=True)\n"
        "os.execvp('sh', ['sh', '-c', shlex.join(words)])\n"
    )
    stand_in(bin_, "python", r'printf "[%s]" "$@"; echo')
    out = "/shared/it's `a` $b"
    words = [
        "casme2",
        "/data/CASME II",
        out,
        "--crop",
        "face",
        "--",
        "--space",
        "q",
        "--set",
        "a=$b",
    ]
    path = f"{bin_}:{os.environ['PATH']}"
    found = run(CLUSTER / "submit.sh", *words, cwd="/", PATH=path)
    assert found.stdout.splitlines() == [
        f"token {ROOT}",
        f"[-m][dianet_ray][doctor][/data/CASME II][{out}]",
        f"[-m][dianet_ray][prepare][casme2][/data/CASME II][{out}/images][--crop][face]",
        f"[-m][dianet_ray][search][{out}/images][{out}/study][--space][q][--set][a=$b]",
        f"[-m][dianet_ray][report][{out}/study][--html][{out}/report.html]",
    ]
    stand_in(bin_, "python", '[[ $3 != prepare ]] && echo "$3"')
    stopped = run(CLUSTER / "submit.sh", *words, PATH=path)
    assert stopped.returncode != 0  # what fails ends the job
    assert stopped.stdout.splitlines()[1:] == ["doctor"]


RAY_STAND_IN = """
case $1 in
    start) sleep 60 & wait ;;
    status) for _ in {1..9}; do echo ' 1 node_x'; done ;;
esac"""


def test_local_keeps_its_token_private_and_stops_its_own_nodes_only(tmp_path):
    stand_in(tmp_path, "ray", RAY_STAND_IN)
    folder, path = tmp_path / "a b", f"{tmp_path}:{os.environ['PATH']}"
    local = [CLUSTER / "local.sh", "--dir", folder]
    other = subprocess.Popen(
        [tmp_path / "ray", "start", f"--temp-dir={tmp_path}/other"], start_new_session=True
    )
    try:
        found = run(*local, "--workers", 2, PATH=path)
        assert found.returncode == 0, found.stderr
        assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len((folder / "token").read_text()) == 64
        assert (folder / "token").read_text() not in found.stdout
        pids = [int(file.read_text()) for file in sorted(folder.glob("*.pid"))]
        assert len(living_groups() & set(pids)) == 3
        assert run(*local, PATH=path).returncode == 2  # it runs already
        (folder / "worker-9.pid").write_text(str(other.pid))  # as if the id were used again
        narrow = {"PATH": path, "COLUMNS": "20"}  # a terminal's width must not hide the nodes
        assert run(*local, "--stop", **narrow).returncode == 0
        while living_groups() & set(pids):  # whatever a node started is killed as well
            time.sleep(0.1)
        assert other.poll() is None
        assert not folder.exists()
        assert run(*local, "--stop", PATH=path).returncode == 2
    finally:
        os.killpg(other.pid, signal.SIGKILL)
        other.wait()


def living_groups():
    rows = run("ps", "-eo", "pgid=,stat=").stdout.splitlines()
    return {int(group) for group, state in map(str.split, rows) if state[0] != "Z"}


@pytest.fixture
def slurm(tmp_path):
    """Run slurm.sbatch; `srun` runs its command here, `ray` is symmetric-run in three words."""
    for folder in ("bin", "home"):
        (tmp_path / folder).mkdir()
    stand_in(tmp_path / "bin", "scontrol", f'echo "$*" >> "{tmp_path}/requeued"')
    stand_in(tmp_path / "bin", "squeue", "echo $STATE")
    stand_in(tmp_path / "bin", "srun", 'while [[ $1 == --* ]]; do shift; done; exec "$@"')
    stand_in(tmp_path / "bin", "ray", 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"')
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "SLURM"))},
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "4",
        "SLURMD_NODENAME": "node0",
    }

    def start(ray=None, search="", state="RUNNING"):
        if ray is not None:
            stand_in(tmp_path / "bin", "ray", ray)
        stand_in(
            tmp_path / "bin", "python", f'[[ $1 != -c ]] || exec {sys.executable} "$@"; {search}'
        )
        return subprocess.Popen(
            ["bash", CLUSTER / "slurm.sbatch", "/i m", "/study", "--space", "q"],
            env=environment | {"STATE": state},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def test_slurm_runs_the_search_and_keeps_the_token_to_itself(slurm, tmp_path):
    look = 'stat -c %a "$RAY_AUTH_TOKEN_PATH" "${RAY_AUTH_TOKEN_PATH%/*}"'
    job = slurm(search=f'{look}; echo $RAY_ADDRESS; echo "$@"; exit 3')
    lines = job.communicate(timeout=250)[0].splitlines()
    assert lines == ["600", "700", "node0:24711", "-m dianet_ray search /i m /study --space q"]
    assert job.returncode == 3
    assert not list((tmp_path / "home").rglob("token"))
    assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize(("state", "is_requeued"), [("RUNNING", True), ("COMPLETING", False)])
def test_slurm_requeues_a_job_out_of_time_but_not_a_cancelled_one(
    slurm, tmp_path, state, is_requeued
):
    stopped = f'trap "touch {tmp_path}/stopped; kill \\$!; exit 1" TERM'
    job = slurm(search=f"{stopped}; sleep 60 & echo up; wait", state=state)
    assert job.stdout.readline() == "up\n"
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=250)
    assert (tmp_path / "stopped").exists()  # the driver was told
    assert (tmp_path / "requeued").exists() == is_requeued


def test_slurm_fails_when_ray_did_not_start(slurm):
    """symmetric-run ends with 0 when `ray start` fails."""
    job = slurm(ray="exit 0")
    assert "Ray did not start" in job.communicate(timeout=250)[0]
    assert job.returncode == 1


def test_slurm_asks_for_what_the_recipe_rests_on():
    text = (CLUSTER / "slurm.sbatch").read_text()
    asked = [shlex.split(line)[1] for line in text.splitlines() if line.startswith("#SBATCH")]
    needed = {"--requeue", "--exclusive", "--signal=B:TERM@120", "--ntasks-per-node=1"}
    assert needed <= set(asked)
    first_command = next(i for i, s in enumerate(text.splitlines()) if s and s[0] != "#")
    last_directive = max(i for i, s in enumerate(text.splitlines()) if s.startswith("#SBATCH"))
    assert last_directive < first_command  # Slurm reads none after it


DATA_KINDS = (
    "csv",
    "tsv",
    "txt",
    "xls",
    "xlsx",
    "ods",
    "jpg",
    "tif",
    "tiff",
    "webp",
    "npy",
    "mov",
    "7z",
)


FOLDERS = ("", "lab/", "search_spaces/", "cluster/", "dianet_ray/model/", "pictures.yaml/")


def test_code_is_uploaded_and_data_are_not(tmp_path):
    from ray._private.runtime_env.packaging import create_package

    for name in (".gitignore", ".rayignore"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    kept = [
        path.relative_to(ROOT).as_posix()
        for folder in ("dianet_ray", "search_spaces", "cluster")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    kept += ["constraints.txt", "pyproject.toml", "README.md", ".gitignore", ".rayignore"]
    kept += ["my_space.yaml", "classes.yml", "my_network.py"]
    left = [
        ".git/config",
        ".venv/bin/python",
        "data/CASME2/sub01/EP02_01f/img46.jpg",
        "anywhere/clip.avi",
        "anywhere/face.png",
        "anywhere/sheet.xlsx",
        "images/clips/part-000000.parquet",
        "mlflow.db",
        "mlruns/1/meta.yaml",
        "runs/demo/report.html",
        "somewhere/ledger/000000.jsonl",
        "somewhere/weights/abc/fold-000.safetensors",
        "study/study.json",
        "tests/conftest.py",
        "work/images.json",
        *(f"{folder}sheet.{kind}" for folder in FOLDERS for kind in DATA_KINDS),
        "search_spaces/FACE.JPG",
        "lab/space.yaml",
        "FACES",
    ]
    for name in [*kept, *left]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text("x")
    package = tmp_path.parent / f"{tmp_path.name}.zip"
    create_package(str(tmp_path), package, include_gitignore=True)
    with zipfile.ZipFile(package) as packed:
        names = {name for name in packed.namelist() if not name.endswith("/")}
    assert names == set(kept)
