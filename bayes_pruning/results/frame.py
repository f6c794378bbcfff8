"""Runs -> one tidy frame, the same from every source to the last bit (design, section 5).

The frame has one row a run and epoch, of finished runs only:

    run, hash             folder name and hash of the run
    dataset, model, pruner
    target_sparsity       as asked; 0.0 for the unpruned baseline (pruner none)
    seed
    protocol              a reading of the paper as text (presets.protocol_text)
    epochs                how many the run has
    twin                  the classic pruner that the run's is compared with, "" if it has none (declared.py)
    reads                 what of the protocol its networks depend on: nothing, masks or all
    epoch, train_loss, ... the columns of metrics.csv unchanged (columns.COLUMNS), NaN for what was not computed

sorted by dataset, model, pruner, target_sparsity, seed, hash, epoch. Every table and figure is a pure function of it.
A negative zero is read as zero, since W&B does not keep its sign.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_pruning.config.errors import UserError
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.results import archive, wandb_server
from bayes_pruning.results.declared import Declared, of_config
from bayes_pruning.results.paper import UNPRUNED
from bayes_pruning.results.run_records import Incomplete, LoggedRun, is_run_folder, read_folders, read_json
from bayes_pruning.runs import ledger
from bayes_pruning.training.metrics import COLUMNS, WHOLE

TEXT = ("run", "hash", "dataset", "model", "pruner", "protocol", "twin", "reads")
STORED = ("run", "hash", "dataset", "model", "pruner", "target_sparsity", "seed", "protocol", "epochs")
IDENTITY = (*STORED, "twin", "reads")
SORTED_BY = ["dataset", "model", "pruner", "target_sparsity", "seed", "hash", "epoch"]
DTYPES = (
    dict.fromkeys(TEXT, "str")
    | dict.fromkeys(("target_sparsity", *COLUMNS), "float64")
    | dict.fromkeys(("seed", "epochs", *WHOLE), "int64")
)


@dataclass(frozen=True)
class Results:
    """The frame of the finished runs, and (run name, reason) for each that is not finished and so not in it."""

    frame: pd.DataFrame
    incomplete: Incomplete


def load(source: str | Path = "outputs", wandb: str | None = None, filters: Mapping[str, Any] | None = None) -> Results:
    """Read runs from wherever they were logged.

    Args:
        source: a folder of run folders, one run's folder, a folder of W&B offline runs, a published archive, or a
            folder of archives.
        wandb: ENTITY/PROJECT on W&B's server; `source` is then not read.
        filters: with `wandb`, which runs, as `wandb.Api().runs` takes it.

    Raises UserError if there is no such source, it holds no runs, or a file of it is damaged.
    """
    if wandb is not None:
        return load_wandb(wandb, filters)
    path = Path(source)
    if not path.exists():
        raise UserError(f"{path} does not exist: name a folder of runs or a published archive.")
    if path.is_file():
        return _load_archives([path])
    archives = sorted(path.glob(f"*{archive.SUFFIX}"))
    if wandb_server.run_folders(path):
        found = wandb_server.read_offline(path)
    elif archives and not any(map(is_run_folder, path.iterdir())):
        return _load_archives(archives)
    else:
        found = read_folders(path)
    if not any(found):
        raise UserError(f"{path} has no runs in it: train some with train.py, or name another folder.")
    return _results(*found)


def load_wandb(project: str, filters: Mapping[str, Any] | None = None) -> Results:
    """Read the runs of ENTITY/PROJECT from W&B's server (the one at WANDB_BASE_URL, if that is set).

    Raises UserError if the project can not be read or no run matches.
    """
    found = wandb_server.read_server(project, filters)
    if not any(found):
        raise UserError(f"{project} on W&B has no runs{' that match the filters' if filters else ''}.")
    return _results(*found)


def publish(source: str | Path, path: str | Path) -> tuple[Results, int]:
    """Pack the finished runs of a folder of run folders into the archive at `path`, with their configs and versions.

    What the archive holds already stays in it, even if the run folders are gone. The bytes of the archive depend on its
    runs alone, and not on the order in which they were published.

    Returns all runs that the archive holds now, and how many of them it held before.

    Raises UserError if the folder has no finished runs, one can not be read, one differs from the run of the same name
    in the archive, or `path` is another file or can not be written.
    """
    folder, path = Path(source), Path(path)
    logged = load(folder)
    if logged.frame.empty:
        raise UserError(f"{folder} has no finished runs to publish.")
    names = logged.frame["run"].unique()
    folders = {name: folder if is_run_folder(folder) else folder / name for name in names}
    if not all(is_run_folder(each) for each in folders.values()):
        raise UserError(f"{folder} is not a folder of run folders, which alone have the configs that an archive keeps.")
    made_by = {name: archive.provenance(each) for name, each in folders.items()}
    ledgers = _read_ledgers(folders.values())
    frame, incomplete, kept = logged.frame, dict(logged.incomplete), 0
    if path.exists():
        before = _load_archives([path])
        made_before, ledgers_before = archive.read_provenance(path), archive.read_ledgers(path)
        frame = pd.concat([before.frame, frame]).drop_duplicates(["run", *COLUMNS])
        differ = set(frame.loc[frame.duplicated(["run", "epoch"]), "run"])
        for name in made_by.keys() & made_before.keys():
            if json.dumps(made_by[name]) != json.dumps(made_before[name]):
                differ.add(name)
            if str(ledgers.get(name)) != str(ledgers_before.get(name)):  # as text, in which NaN is like NaN
                differ.add(name)
        if differ:
            raise UserError(
                f"{' and '.join(sorted(differ))} in {folder} and in {path} have the same name and differ: "
                "publish to another file, or remove the folder."
            )
        made_by, ledgers = made_before | made_by, ledgers_before | ledgers
        incomplete, kept = dict(before.incomplete) | incomplete, len(made_before)
    frame = _tidy(_declare(frame, {name: of_config(made["config"]["pruner"]) for name, made in made_by.items()}))
    published = Results(frame, sorted((name, why) for name, why in incomplete.items() if name not in made_by))
    archive.write(path, frame, made_by, ledgers, published.incomplete)
    return published, kept


def load_ledgers(source: str | Path) -> dict[str, list[Decision]]:
    """The ledgers of runs, by run name, of those whose gate asks for evidence.

    Args:
        source: a folder of run folders, one run's folder, a published archive, or a folder of archives.

    Raises UserError if there is no such source or a ledger is damaged.
    """
    path = Path(source)
    if not path.exists():
        raise UserError(f"{path} does not exist: name a folder of runs or a published archive.")
    if path.is_file():
        return archive.read_ledgers(path)
    if is_run_folder(path):
        return _read_ledgers([path])
    archives = sorted(path.glob(f"*{archive.SUFFIX}"))
    return {k: v for each in archives for k, v in archive.read_ledgers(each).items()} | _read_ledgers(
        folder for folder in sorted(path.iterdir()) if is_run_folder(folder)
    )


def load_summaries(source: str | Path) -> dict[str, Any]:
    """The summary.json of each finished run of a source as `load_ledgers` takes it, by run name."""
    path = Path(source)
    archives = [path] if path.is_file() else sorted(path.glob(f"*{archive.SUFFIX}"))
    found = {run: made["summary"] for each in archives for run, made in archive.read_provenance(each).items()}
    folders = [path] if is_run_folder(path) else [] if path.is_file() else sorted(path.iterdir())
    for folder in folders:
        if (folder / "summary.json").exists():
            found[folder.name] = read_json(folder / "summary.json")
    return found


def _read_ledgers(folders: Iterable[Path]) -> dict[str, list[Decision]]:
    return {folder.name: ledger.read(folder / ledger.FILE) for folder in folders if (folder / ledger.FILE).exists()}


def _load_archives(paths: Sequence[Path]) -> Results:
    columns = list(dict.fromkeys([*STORED, *COLUMNS]))
    parts = [archive.read(path, columns) for path in paths]
    made = {run: by for path in paths for run, by in archive.read_provenance(path).items()}
    declared = {run: of_config(by["config"]["pruner"]) for run, by in made.items()}
    frame = pd.concat([frame for frame, _ in parts], ignore_index=True)
    return Results(_tidy(_declare(frame, declared)), [entry for _, incomplete in parts for entry in incomplete])


def _declare(frame: pd.DataFrame, declared: Mapping[str, Declared]) -> pd.DataFrame:
    """Return the frame of an archive with what its runs' configs declare of their pruners."""
    of = [declared[run] for run in frame["run"]]
    unpruned = np.array([each.unpruned for each in of], dtype=bool)
    return frame.assign(
        pruner=frame["pruner"].mask(unpruned, UNPRUNED),
        target_sparsity=frame["target_sparsity"].mask(unpruned, 0.0),
        twin=[each.twin for each in of],
        reads=[each.reads for each in of],
    )


def _results(runs: Sequence[LoggedRun], incomplete: Incomplete) -> Results:
    lengths = [len(run.rows) for run in runs]
    identity = {name: np.repeat(np.array([getattr(run, name) for run in runs]), lengths) for name in IDENTITY}
    rows = [row for run in runs for row in run.rows]
    metrics = np.array(rows, dtype=np.float64).reshape(len(rows), len(COLUMNS)) + 0.0  # no negative zeros
    frame = pd.DataFrame(identity | dict(zip(COLUMNS, metrics.T, strict=True)))
    return Results(_tidy(frame), sorted(incomplete))


def _tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame in its one order and with its one set of types. Raises UserError if a run is there twice."""
    frame = (
        frame[list(dict.fromkeys([*IDENTITY, *COLUMNS]))]
        .astype(DTYPES)
        .sort_values(SORTED_BY, kind="stable", ignore_index=True)
    )
    twice = frame[frame.duplicated(["hash", "epoch"])]
    if not twice.empty:
        names = sorted(set(frame.loc[frame["hash"] == twice["hash"].iloc[0], "run"]))
        raise UserError(f"{' and '.join(names)} are the same run (hash {twice['hash'].iloc[0]}): keep one of them.")
    return frame
