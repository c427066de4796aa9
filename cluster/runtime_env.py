"""Write cluster/runtime_env.yaml: what a job installs on a Ray cluster that lacks our image.

Reads pyproject.toml (which packages) and constraints.txt (which versions). Ray and torch are left
out: a runtime environment cannot replace the cluster's Ray, and its torch must fit its GPUs.
Run it after changing either file: python cluster/runtime_env.py
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WRITTEN = ROOT / "cluster" / "runtime_env.yaml"
OF_THE_CLUSTER = {"ray", "torch", "grpcio"}  # Ray uses grpcio as well
STORES = ("s3", "gs")

HEAD = """\
# Written by cluster/runtime_env.py from pyproject.toml and constraints.txt: do not edit.
# ray job submit --runtime-env cluster/runtime_env.yaml --working-dir . -- python -m dianet_ray ...
# The cluster must have Ray and torch. Put no secrets here: Ray stores and shows this file.
# Run on one machine only, where everything was installed already; the download was not tested.
pip:
  packages:
    # So that the dependencies of these packages have the pinned versions too.
    - -c ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/constraints.txt
"""


def normal(requirement: str) -> str:
    """Reduce a requirement to the normalised name of its package."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]).lower()


def pins() -> dict[str, str]:
    """Read the version of every package in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {normal(name): version.strip() for name, version in pairs}


def runtime_env() -> str:
    """Compose the file.

    Raises:
        SystemExit: constraints.txt lacks a package that pyproject.toml needs.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stores = [one for store in STORES for one in project["optional-dependencies"][store]]
    needed = {normal(one) for one in [*project["dependencies"], *stores]} - OF_THE_CLUSTER
    versions = pins()
    if missing := sorted(needed - versions.keys()):
        raise SystemExit(f"constraints.txt has no version of {', '.join(missing)}")
    return HEAD + "".join(f"    - {name}=={versions[name]}\n" for name in sorted(needed))


if __name__ == "__main__":
    WRITTEN.write_text(runtime_env())
