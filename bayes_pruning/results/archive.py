"""Read and write a published archive: many runs in one Parquet file, with what it takes to make them again.

One row a run and epoch. Beside the columns of the frame (frame.py), each row carries the run's whole config,
its command line and its summary (versions, device, git commit, parameter counts) as JSON text; Parquet stores a
repeated text once. The ledger of a gate that asks for evidence is there too, a column `ledger_...` for each of
decisions.csv. The names of runs that were not finished are kept in the file's metadata.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bayes_pruning.config.errors import UserError, user_error
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.results.run_records import Incomplete, read_json
from bayes_pruning.runs import ledger
from bayes_pruning.runs.files import write_file
from bayes_pruning.training.metrics import COLUMNS

SUFFIX = ".parquet"
PROVENANCE = ("config", "overrides", "summary")  # columns of JSON text, kept out of the frame
LEDGER = {f"ledger_{name}": name for name in ledger.COLUMNS}
METADATA_KEY = b"bayes_pruning"
MACHINE = ("output_dir", "data_root")  # settings that are folders of the machine
FORMAT = 2


def provenance(folder: Path) -> dict[str, Any]:
    """Return what made a finished run: its resolved config, the overrides of its command line and its summary.

    Only the last part of absolute paths in MACHINE is kept: an archive is for others, whose folders are elsewhere.
    """
    from omegaconf import OmegaConf

    file = folder / ".hydra" / "overrides.yaml"
    with user_error(f"{file.parent} can not be read"):  # OmegaConf, yaml and the file system each raise their own
        config: Any = OmegaConf.to_container(OmegaConf.load(file.with_name("config.yaml")), resolve=True)
        overrides: Any = OmegaConf.to_container(OmegaConf.load(file)) if file.exists() else []
    moved = {name: Path(config[name]).name for name in MACHINE if Path(config.get(name, "")).is_absolute()}
    names = [override.partition("=")[0].lstrip("+") for override in overrides]
    return {
        "config": config | moved,
        "overrides": [f"{n}={moved[n]}" if n in moved else o for n, o in zip(names, overrides, strict=True)],
        "summary": read_json(folder / "summary.json"),
    }


def write(
    path: Path,
    frame: pd.DataFrame,
    made_by: Mapping[str, Mapping[str, Any]],
    ledgers: Mapping[str, Sequence[Decision]],
    incomplete: Incomplete,
) -> None:
    """Write the runs of `frame` to the archive at `path`, atomically; their provenance and ledgers are by run name.

    Only a run whose gate asks for evidence has a ledger. Raise UserError if the archive can not be written.
    """
    columns = {name: pa.array(frame[name]) for name in frame.columns.drop("settings")}  # which the config holds
    for kind in PROVENANCE:
        texts = {run: json.dumps(values[kind]) for run, values in made_by.items()}
        columns[kind] = pa.array(frame["run"].map(texts), pa.string()).dictionary_encode()
    decisions = {(run, decision.epoch): vars(decision) for run, rows in ledgers.items() for decision in rows}
    rows = [decisions.get(key, {}) for key in zip(frame["run"], frame["epoch"], strict=True)]
    for column, name in LEDGER.items():
        kind = pa.int64() if name in ledger.WHOLE else pa.float64()
        columns[column] = pa.array([row.get(name) for row in rows], kind)
    about = json.dumps({"format": FORMAT, "incomplete": incomplete})
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: about.encode()})
    data = io.BytesIO()
    pq.write_table(table, data, compression="zstd", compression_level=19)
    write_file(path, data.getvalue())


def read_metrics(path: Path) -> tuple[pd.DataFrame, Incomplete]:
    """Return the run and the metrics of each row, and the runs that were not finished; raise as `_read`."""
    table, about = _read(path, ["run", *COLUMNS])
    return table.to_pandas(), [(name, reason) for name, reason in about["incomplete"]]


def read_provenance(path: Path) -> dict[str, dict[str, Any]]:
    """Return the provenance of each run of an archive, by run name; raise as `_read`."""
    runs = _read(path, ["run", *PROVENANCE])[0].to_pandas().drop_duplicates("run")
    rows = runs.itertuples(index=False, name=None)
    return {run: dict(zip(PROVENANCE, map(json.loads, texts), strict=True)) for run, *texts in rows}


def read_ledgers(path: Path) -> dict[str, list[Decision]]:
    """Return the ledgers of an archive, by run name; raise as `_read`."""
    table = _read(path, ["run", *LEDGER])[0].rename_columns(["run", *ledger.COLUMNS])
    ledgers: dict[str, list[Decision]] = {}
    for row in table.filter(table["epoch"].is_valid()).to_pylist():
        ledgers.setdefault(row.pop("run"), []).append(Decision(**row))
    return ledgers


def _read(path: Path, columns: list[str]) -> tuple[pa.Table, dict[str, Any]]:
    """Return columns of an archive and what its metadata say. Raise UserError if the file is not an archive."""
    with user_error(f"{path} can not be read as Parquet", (OSError, pa.ArrowException)), pq.ParquetFile(path) as file:
        about = json.loads((file.schema_arrow.metadata or {}).get(METADATA_KEY, b"{}"))
        if not about:
            raise UserError(f"{path} is not an archive of scripts/publish.py.")
        if about["format"] != FORMAT:
            raise UserError(
                f"{path} has format {about['format']}, this version reads {FORMAT}: publish the runs again."
            )
        return file.read(columns), about
