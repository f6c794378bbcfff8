"""Read runs from their W&B mirror: offline run folders, and W&B's server. W&B is imported only when it is asked.

A W&B run's config is the resolved job config plus `hash`; its history has one row an epoch, named as in metrics.csv.
A run that was resumed may be spread over several W&B runs with one hash: their epochs are put together, and where two
have the same epoch the later one counts.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_pruning.config.errors import UserError, user_error
from bayes_pruning.config.schema import other_settings, run_config
from bayes_pruning.results.declared import of_config
from bayes_pruning.results.run_records import Incomplete, LoggedRun, counted, identity
from bayes_pruning.runs import layout
from bayes_pruning.training.metrics import COLUMNS, OPTIONAL

PUBLICATION = "publication"  # in the config of a W&B run that holds tables and figures and trains nothing
REQUESTS = 8  # histories asked of the server at a time


@dataclass(frozen=True)
class Piece:
    """Hold one W&B run: part of a run, or all of it."""

    name: str  # of the W&B run, to report it by
    started: str  # when, as text that sorts by time
    config: Mapping[str, Any]
    rows: Mapping[int, list[float]]  # by epoch
    failed: bool


def run_folders(source: Path) -> list[Path]:
    """Return the folders of W&B runs, offline or online, in `source`; `source` itself if it is one."""
    if any(source.glob("run-*.wandb")):
        return [source]
    return sorted({file.parent for file in source.glob("*run-*/run-*.wandb")})


def read_offline(source: Path) -> tuple[list[LoggedRun], Incomplete]:
    """Return the runs in a folder of W&B run folders, read through `wandb leet inspect`, a second of one core each.

    Raise UserError if a folder can not be read.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return _join(pool.map(_inspect, run_folders(source)))


def read_server(project: str, filters: Mapping[str, Any] | None = None) -> tuple[list[LoggedRun], Incomplete]:
    """Return the runs of ENTITY/PROJECT on W&B's server (WANDB_BASE_URL), those that match `filters`.

    Raise UserError if the project can not be read.
    """
    import wandb

    if project.count("/") != 1 or not all(project.split("/")):
        raise UserError(f"--wandb {project} is not ENTITY/PROJECT.")
    with user_error(f"{project} can not be read from W&B"), ThreadPoolExecutor(REQUESTS) as pool:
        return _join(pool.map(_fetch, wandb.Api().runs(project, filters=dict(filters or {}), lazy=False)))


def _inspect(folder: Path) -> Piece:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", str(folder), "--json"]
    quiet = {**os.environ, "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}
    done = subprocess.run(command, check=False, env=quiet, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"{folder} can not be read as a W&B run ({done.stderr.strip() or 'wandb leet inspect failed'})."
        )
    config: dict[str, Any] = {}
    rows: dict[int, list[float]] = {}
    name, started, failed = folder.name, "", False
    for line in done.stdout.splitlines():
        record = json.loads(line)
        kind = record["type"]
        content = record.get(kind) or {}
        if kind == "run":
            started = content.get("start_time", "")
            config |= (content.get("config") or {}).get("update") or {}
        elif kind == "config":
            config |= content.get("update") or {}
        elif kind == "history":
            rows |= _by_epoch([content.get("item") or {}])
        elif kind == "exit":
            failed = bool(content.get("exit_code"))
    return Piece(name, started, config, rows, failed)


def _fetch(run: Any) -> Piece:
    history = run.scan_history(use_cache=False)  # with keys, W&B would answer from its sampled history
    return Piece(run.name, str(run.created_at), run.config, _by_epoch(history), run.state in ("failed", "crashed"))


def _by_epoch(history: Iterable[Mapping[str, Any]]) -> dict[int, list[float]]:
    """Return the rows of a history that hold all columns, NaN for a number that was not computed.

    JSON may show 1.0 as 1: every number is made a float again.
    """
    whole = (row for row in history if all(name in row for name in COLUMNS if name not in OPTIONAL))
    rows = ([math.nan if row.get(name) is None else float(row[name]) for name in COLUMNS] for row in whole)
    return {int(row[0]): row for row in rows}


def _join(pieces: Iterable[Piece]) -> tuple[list[LoggedRun], Incomplete]:
    by_hash: dict[str, list[Piece]] = {}
    incomplete: Incomplete = []
    for piece in sorted(pieces, key=lambda piece: (piece.started, piece.name)):
        if PUBLICATION in piece.config:
            continue
        if "hash" in piece.config:
            by_hash.setdefault(str(piece.config["hash"]), []).append(piece)
        else:
            reason = "its config has no hash: not a run of this package, or cut short at its start"
            incomplete.append((piece.name, reason))
    joined = [_joined(pieces_of_run) for pieces_of_run in by_hash.values()]
    incomplete += [run for run in joined if not isinstance(run, LoggedRun)]
    return [run for run in joined if isinstance(run, LoggedRun)], incomplete


def _joined(pieces: list[Piece]) -> LoggedRun | tuple[str, str]:
    """Return the run whose pieces are given in order of time, or its name and why it is not finished."""
    last = pieces[-1]
    try:
        run = run_config(last.config)
    except UserError as error:
        return last.name, f"its config is not one of this package: {error}"
    name = f"{run.label()}-{last.config['hash']}"
    rows = {epoch: row for piece in pieces for epoch, row in piece.rows.items()}
    if sorted(rows) != list(range(1, run.epochs + 1)):
        state = "failed" if last.failed else "not finished"
        return name, f"{state}: {counted(len(rows), 'epoch')} of {run.epochs}"
    summary = {**layout.summary_of(run), "hash": last.config["hash"]}
    about = identity(name, summary, of_config(last.config["pruner"]), other_settings(last.config))
    return LoggedRun(about, [rows[epoch] for epoch in sorted(rows)])
