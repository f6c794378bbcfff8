"""Load all runs as one tidy frame, the same from every source to the last bit.

The frame has one row a run and epoch, of finished runs only:

    run, hash             folder name and hash of the run
    dataset, model, pruner
    target_sparsity       as asked; 0.0 for the unpruned baseline (pruner none)
    seed
    protocol              a reading of the paper as text (presets.protocol_text)
    epochs                how many the run has
    twin                  the classic pruner that the run's is compared with, "" if it has none (declared.py)
    reads                 what of the protocol its networks depend on: nothing, masks or all
    settings              its other settings, as JSON text (schema.other_settings)
    epoch, train_loss, ... the columns of metrics.csv unchanged (metrics.COLUMNS), NaN for what was not computed

sorted by dataset, model, pruner, target_sparsity, seed, hash, epoch. Every table and figure is a pure function of it.
A negative zero is read as zero, since W&B does not keep its sign.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.schema import other_settings
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.results import archive, wandb_server
from bayes_pruning.results.cells import CELL
from bayes_pruning.results.declared import of_config
from bayes_pruning.results.run_records import Incomplete, LoggedRun, identity, is_run_folder, read_folders, read_json
from bayes_pruning.runs import ledger
from bayes_pruning.training.metrics import COLUMNS, WHOLE

IDENTITY = dict.fromkeys(("run", "hash", *CELL, "seed", "protocol", "epochs", "twin", "reads", "settings"), "str")
DTYPES = (
    IDENTITY
    | {"target_sparsity": "float64", "seed": "int64", "epochs": "int64", "settings": "category"}
    | dict.fromkeys(COLUMNS, "float64")
    | dict.fromkeys(WHOLE, "int64")
)
SORTED_BY = [*CELL, "seed", "hash", "epoch"]


@dataclass(frozen=True)
class Results:
    """Hold the frame of the finished runs, and (run name, reason) for each that is not finished and so not in it."""

    frame: pd.DataFrame
    incomplete: Incomplete


def load(source: str | Path = "outputs", wandb: str | None = None, filters: Mapping[str, Any] | None = None) -> Results:
    """Read runs from wherever they were logged.

    Args:
        source: a folder of run folders (an archive beside them is not read), one run's folder, a folder of W&B offline
            runs, a published archive, or a folder of archives, of which the first that holds a run counts.
        wandb: ENTITY/PROJECT on W&B's server (the one at WANDB_BASE_URL, if that is set); `source` is then not read.
        filters: with `wandb`, which runs, as `wandb.Api().runs` takes it.

    Raise UserError if there is no such source, it holds no runs, or a file of it is damaged.
    """
    if wandb is not None:
        runs, incomplete = wandb_server.read_server(wandb, filters)
        if not runs and not incomplete:
            raise UserError(f"{wandb} on W&B has no runs{' that match the filters' if filters else ''}.")
        return _of_runs(runs, incomplete)
    folders, archives = _contents(source)
    if wandb_server.run_folders(Path(source)):
        runs, incomplete = wandb_server.read_offline(Path(source))
    elif archives:
        return load_archives(archives)
    else:
        runs, incomplete = read_folders(folders)
    if not runs and not incomplete:
        raise UserError(f"{source} has no runs in it: train some with train.py, or name another folder.")
    return _of_runs(runs, incomplete)


def load_archives(paths: Sequence[Path]) -> Results:
    """Read published archives as one frame. A run that several of them hold is that of the first; raise as `load`."""
    parts, made_by, incomplete = list[pd.DataFrame](), dict[str, Any](), dict[str, str]()
    for path in paths:
        metrics, left_out = archive.read_metrics(path)
        parts.append(metrics[~metrics["run"].isin(made_by)])
        made_by = archive.read_provenance(path) | made_by
        incomplete |= left_out
    unfinished = sorted((run, why) for run, why in incomplete.items() if run not in made_by)
    return Results(_of_provenance(pd.concat(parts), made_by), unfinished)


def publish(source: str | Path, path: str | Path) -> tuple[Results, int]:
    """Pack the finished runs of a folder of run folders into the archive at `path`, with their configs and versions.

    What the archive holds already stays in it, even if the run folders are gone. The bytes of the archive depend on its
    runs alone, and not on the order in which they were published.

    Return all runs that the archive holds now, and how many of them it held before.

    Raise UserError if the folder has no finished runs, one can not be read, one differs from the run of the same name
    in the archive, or `path` is another file or can not be written.
    """
    path = Path(path)
    logged = load(source)
    if logged.frame.empty:
        raise UserError(f"{source} has no finished runs to publish.")
    folders = {folder.name: folder for folder in _contents(source)[0]}
    if not folders:
        raise UserError(f"{source} is not a folder of run folders, which alone have the configs that an archive keeps.")
    made_by = {name: archive.provenance(folders[name]) for name in logged.frame["run"].unique()}
    ledgers = _read_ledgers(folders[name] for name in made_by)
    metrics, incomplete, kept = logged.frame[["run", *COLUMNS]], dict(logged.incomplete), 0
    if path.exists():
        before, incomplete_before = archive.read_metrics(path)
        made_before, ledgers_before = archive.read_provenance(path), archive.read_ledgers(path)
        metrics = pd.concat([before, metrics]).drop_duplicates()
        differ = set(metrics.loc[metrics.duplicated(["run", "epoch"]), "run"])
        for name in made_by.keys() & made_before.keys():
            now, then = (made_by[name], ledgers.get(name)), (made_before[name], ledgers_before.get(name))
            if str(now) != str(then):  # as text, in which NaN is like NaN
                differ.add(name)
        if differ:
            raise UserError(
                f"{' and '.join(sorted(differ))} in {source} and in {path} have the same name and differ: "
                "publish to another file, or remove the folder."
            )
        made_by, ledgers = made_before | made_by, ledgers_before | ledgers
        incomplete, kept = dict(incomplete_before) | incomplete, len(made_before)
    left_out = sorted((name, why) for name, why in incomplete.items() if name not in made_by)
    published = Results(_of_provenance(metrics, made_by), left_out)
    archive.write(path, published.frame, made_by, ledgers, left_out)
    return published, kept


def load_ledgers(*sources: str | Path) -> dict[str, list[Decision]]:
    """Return the ledgers of runs, by run name, of those whose gate asks for evidence.

    The sources are folders of run folders, run folders, published archives, or folders of archives. A run's own
    folder counts before an archive, and of archives the first that holds the run. Raise UserError if there is no such
    source or a ledger is damaged.
    """
    folders, archives = _contents(*sources)
    published = {run: rows for path in reversed(archives) for run, rows in archive.read_ledgers(path).items()}
    return published | _read_ledgers(folders)


def load_summaries(*sources: str | Path) -> dict[str, Any]:
    """Return the summary.json of each finished run of sources as `load_ledgers` takes them, by run name."""
    folders, archives = _contents(*sources)
    made_by = {run: about for path in reversed(archives) for run, about in archive.read_provenance(path).items()}
    published = {run: about["summary"] for run, about in made_by.items()}
    files = [folder / "summary.json" for folder in folders]
    return published | {file.parent.name: read_json(file) for file in files if file.exists()}


def _contents(*sources: str | Path) -> tuple[list[Path], list[Path]]:
    """Return the run folders and the archives that sources are or hold. Raise UserError if one does not exist.

    Of a folder with run folders these alone count: an archive beside them may be an older state of them.
    """
    folders, archives = list[Path](), list[Path]()
    for path in map(Path, sources):
        if not path.exists():
            raise UserError(f"{path} does not exist: name a folder of runs or a published archive.")
        if path.is_file():
            archives.append(path)
        else:
            runs = [path] if is_run_folder(path) else [*filter(is_run_folder, sorted(path.iterdir()))]
            folders += runs
            archives += [] if runs else sorted(path.glob(f"*{archive.SUFFIX}"))
    return folders, archives


def _read_ledgers(folders: Iterable[Path]) -> dict[str, list[Decision]]:
    """Return the ledgers of run folders. Raise UserError if a finished run that writes one has none."""
    ledgers = dict[str, list[Decision]]()
    for folder in folders:
        path, summary = folder / ledger.FILE, folder / "summary.json"
        if path.exists():
            ledgers[folder.name] = ledger.read(path)
        elif summary.exists() and read_json(summary).get("reads_bayes_factor"):  # runs of earlier versions do not say
            raise UserError(f"{path} is missing, which its gate's decisions were in: restore it, or remove the folder.")
    return ledgers


def _of_provenance(metrics: pd.DataFrame, made_by: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the frame of archived runs; their summaries say what they are, their configs what their pruners are."""
    return _tidy(
        metrics,
        [
            identity(name, about["summary"], of_config(about["config"]["pruner"]), other_settings(about["config"]))
            for name, about in made_by.items()
        ],
    )


def _of_runs(runs: Sequence[LoggedRun], incomplete: Incomplete) -> Results:
    metrics = pd.DataFrame([row for run in runs for row in run.rows], columns=COLUMNS)
    metrics["run"] = pd.Series([run.identity["run"] for run in runs for _ in run.rows], dtype=object)
    return Results(_tidy(metrics, [run.identity for run in runs]), sorted(incomplete))


def _tidy(metrics: pd.DataFrame, runs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return metrics and the identities of their runs in the frame's one order, with its one set of types.

    Raise UserError if a run is there twice.
    """
    frame = metrics.merge(pd.DataFrame(runs, columns=[*IDENTITY]).astype({"settings": "category"}), on="run")
    frame = frame[[*DTYPES]].astype(DTYPES).sort_values(SORTED_BY, kind="stable", ignore_index=True)
    frame[list(COLUMNS)] += 0  # a negative zero becomes zero
    twice = frame.loc[frame.duplicated(["hash", "epoch"]), "hash"]
    if not twice.empty:
        names = sorted(set(frame.loc[frame["hash"] == twice.iloc[0], "run"]))
        raise UserError(f"{' and '.join(names)} are the same run (hash {twice.iloc[0]}): keep one of them.")
    return frame
