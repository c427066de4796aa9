"""Everything that a study left in MLflow, as one plain value that can be compared.

Left out is what two equal studies cannot share: ids, times, the wall clock's metrics (`seconds/`)
and the tags that MLflow itself sets.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import mlflow.artifacts
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

RANDOM_KEYS = ("artifact_path", "model_id", "model_uuid", "run_id", "utc_time_created")


def dump_tree(client: MlflowClient, experiment: str) -> dict[str, Any]:
    """Dump every active run, model and model version of an experiment, by names not by ids."""
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], max_results=5000) if found else []
    by_id = {run.info.run_id: run for run in runs}
    models = client.search_logged_models([found.experiment_id]) if found else []
    return {
        "runs": _named((_place(run, by_id), _run(client, run)) for run in runs),
        "models": _named(
            (
                _place(by_id[model.source_run_id], by_id),
                {
                    "name": model.name,
                    "status": model.status.name,
                    "tags": _ours(model.tags),
                    "params": model.params,
                    "artifacts": hashes(client, model.artifact_location),
                },
            )
            for model in models
        ),
        "registered": _registered(client, by_id),
    }


def _named(pairs: Any) -> dict[str, list[Any]]:
    """Collect by name; a list each, so that a duplicate shows."""
    named: dict[str, list[Any]] = {}
    for name, value in pairs:
        named.setdefault(name, []).append(value)
    return dict(sorted(named.items()))


def _place(run: Run, by_id: dict[str, Run]) -> str:
    """Name a run by its path below the study's run, which goes by the name `study`."""
    parent = by_id.get(run.data.tags.get("mlflow.parentRunId", ""))
    return f"{_place(parent, by_id)}/{run.info.run_name}" if parent else "study"


def _run(client: MlflowClient, run: Run) -> dict[str, Any]:
    values = [
        (metric.key, metric.step, metric.value)
        for key in run.data.metrics
        if not key.startswith("seconds/")
        for metric in client.get_metric_history(run.info.run_id, key)
    ]
    outputs = run.outputs.model_outputs if run.outputs else []
    return {
        "status": run.info.status,
        "tags": _ours(run.data.tags),
        "params": run.data.params,
        "values": sorted(values),
        "seconds": sorted(key for key in run.data.metrics if key.startswith("seconds/")),
        "n_models": len(outputs),
        "artifacts": hashes(client, run.info.artifact_uri),
    }


def _ours(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key.startswith("dianet.")}


def _registered(client: MlflowClient, by_id: dict[str, Run]) -> dict[str, Any]:
    named = {}
    for model in client.search_registered_models():
        versions = client.search_model_versions(f"name = '{model.name}'")
        own = [version for version in versions if version.run_id in by_id]
        if own:
            numbers = {str(v.version): i for i, v in enumerate(sorted(own, key=_number))}
            named[model.name] = {
                "versions": [_ours(version.tags) for version in sorted(own, key=_number)],
                "aliases": {k: numbers.get(str(v)) for k, v in model.aliases.items()},
            }
    return named


def _number(version: Any) -> int:
    return int(version.version)


def hashes(client: MlflowClient, uri: str) -> dict[str, str]:
    """Hash every artifact below a place; MLmodel without its random ids and places."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            mlflow.artifacts.download_artifacts(
                artifact_uri=uri, dst_path=folder, tracking_uri=client.tracking_uri
            )
        except (OSError, mlflow.MlflowException):  # a run without artifacts has no folder
            return {}
        files = sorted(file for file in Path(folder).rglob("*") if file.is_file())
        # the first part is the random name of the place
        return {"/".join(f.relative_to(folder).parts[1:]): _hash(f) for f in files}


def _hash(file: Path) -> str:
    content = file.read_bytes()
    if file.name == "MLmodel":
        described = yaml.safe_load(content)
        flavour = described["flavors"]["python_function"]  # where the code was, when logged
        flavour["model_code_path"] = Path(flavour["model_code_path"]).name
        content = repr(
            sorted((k, v) for k, v in described.items() if k not in RANDOM_KEYS)
        ).encode()
    return hashlib.sha256(content).hexdigest()
