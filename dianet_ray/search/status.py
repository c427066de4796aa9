"""How far a study is, from its files alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from dianet_ray.artefacts import DRIVER_FOLDER
from dianet_ray.progress import count, duration
from dianet_ray.protocol.correction import champion
from dianet_ray.protocol.predictions import classify, interval, pooled_score, subject_confusions
from dianet_ray.protocol.standing import standing
from dianet_ray.protocol.study import Study
from dianet_ray.storage.lock import holder, is_alive


def best_so_far(study: Study, number: int, n: int = 2000) -> tuple[float, float, float]:
    """Score a complete configuration: pooled objective, and its 95 % interval over subjects."""
    probabilities, n_classes = study.pooled(number), len(study.classes)
    score = pooled_score(
        study.labels(), probabilities, n_classes=n_classes, objective=study.objective
    )
    _, confusions = subject_confusions(study.clips, classify(probabilities), n_classes)
    low, high = interval(confusions, study.identity["seed"], n=n)[study.objective]
    return score, low, high


def first_wave_failure(study: Study) -> str:
    """Say why a study cannot go on: nothing succeeded and the whole first wave failed; else ''."""
    first = [c.number for c in study.configurations if c.wave == 0]
    errors = [t.error for t in study.trainings.values() if t.outcome != "ok"]
    if not errors or len(errors) < len(study.trainings):
        return ""
    if any(standing(study).state(number) == "running" for number in first):
        return ""
    return f"every training of the first wave failed: {errors[-1].splitlines()[0]}"


def status_of(study: Study, path: Path) -> dict[str, Any]:
    """Describe a study's progress as JSON, and as `lines` for people."""
    driver = holder(path / DRIVER_FOLDER)
    is_running = driver is not None and is_alive(driver)
    states = standing(study).states()
    last = max((t.finished_at for t in study.trainings.values()), default=None)
    winner = champion(study)
    found: dict[str, Any] = {
        "study": study.name,
        "is_running": is_running,
        "n_folds": [len(folds) for folds in study.rungs],
        "n_drawn": len(states),
        "n_trainings": len(study.trainings),
        "states": {state: states.count(state) for state in sorted(set(states))},
        "seconds_since_last_training": None if last is None else time.time() - last,
        "best": None,
    }
    counts = ", ".join(f"{n} {state}" for state, n in found["states"].items()) or "none drawn"
    lines = [
        f"study    {path.absolute()}: {'running' if is_running else 'not running'}"
        + (f" (process {driver.pid} on {driver.host})" if driver and is_running else ""),
        f"done     {count(len(study.trainings), 'training')}; configurations: {counts}",
    ]
    if last is not None and is_running:
        lines.append(f"last     training {duration(time.time() - last)} ago")
    if winner is not None:
        score, low, high = best_so_far(study, winner.number)
        found["best"] = {
            "number": winner.number,
            "config_id": winner.config_id,
            study.objective: score,
            "ci95": [low, high],
        }
        lines.append(
            f"best     configuration {winner.number} ({winner.config_id}): {study.objective} "
            f"{score:.3f} [{low:.3f}, {high:.3f}]"
        )
    return {**found, "lines": lines}
