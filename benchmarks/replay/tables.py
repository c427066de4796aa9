"""What was found, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table


def tables(found: dict[str, Any]) -> Iterator[Table]:
    """Show whatever is there."""
    for name, described in found.get("generated", {}).items():
        yield _likeness(name, described)
    if "busy" in found:
        yield _busy(found["busy"])
        return
    parts = found.get("matrices", {})
    if len(parts) > 1:
        for name, described in parts.items():
            yield _decisions(described, name)
    best = found.get("ceiling")
    note = f"; the ladder's rules save at most {best['saved']:.1f}x trainings" if best else ""
    title = f"{found['configurations']} configurations of {found['folds']} folds on one worker"
    yield _decisions(found["strategies"], title + note)
    if len(found["strategies"][0]["workers"]) > 1:
        yield _clusters(found["strategies"])


def _decisions(rows: list[dict[str, Any]], title: str) -> Table:
    """What decisions alone cost, and what they choose."""
    table = _table(title, "strategy", "trainings", "saved", "seconds", "saved", "regret", "kept")
    for row in rows:
        table.add_row(
            row["strategy"],
            f"{row['trainings']:.0f}",
            f"{row['saved']['trainings']:.1f}x",
            f"{row['seconds']:.0f}",
            f"{row['saved']['seconds']:.1f}x",
            f"{row['regret']:.2f} ± {row['se']['regret']:.2f}",
            f"{row['winner_kept']:.2f} ± {row['se']['winner_kept']:.2f}",
        )
    return table


def _clusters(rows: list[dict[str, Any]]) -> Table:
    """How long it takes on clusters, how busy they are, and what is trained there."""
    sizes = [n for n in rows[0]["workers"] if n != "1"]
    title = "Simulated seconds, busy share of the workers' time, trainings"
    table = _table(title, "strategy", *(f"{n} workers" for n in sizes))
    for row in rows:
        means = [row["workers"][n]["mean"] for n in sizes]
        cells = [f"{m['wall']:.0f} s, {m['utilisation']:.2f}, {m['trainings']:.0f}" for m in means]
        table.add_row(row["strategy"], *cells)
    return table


def _likeness(name: str, described: dict[str, Any]) -> Table:
    """How the scores of recorded and generated matrices correlate with the truth, and spread."""
    table = _table(
        f"{name}, recorded / generated", "pooled score of", "correlation with truth", "deviation"
    )
    for row in described["rungs"]:
        table.add_row(
            row["rung"],
            *(f"{row[key][0]:.3f} / {row[key][1]:.3f}" for key in ("correlation", "spread")),
        )
    return table


def _busy(rows: list[dict[str, Any]]) -> Table:
    """How busy workers are."""
    table = _table(
        "Busy share of the workers' time; surplus is a share of the trainings",
        *("matrix", "configurations", "workers", "waves of", "log std", "strategy"),
        *("busy", "surplus", "wall s"),
    )
    for row in rows:
        mean, se = (row["workers"][str(row["n_workers"])][key] for key in ("mean", "se"))
        table.add_row(
            *(str(row[key]) for key in ("matrix", "configurations", "n_workers", "wave_size")),
            f"{row['log_std']:.2f}",
            row["strategy"],
            f"{mean['utilisation']:.3f} ± {se['utilisation']:.3f}",
            f"{mean['surplus']:.3f}",
            f"{mean['wall']:.0f}",
        )
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table
