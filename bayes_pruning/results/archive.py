"""A published archive: many runs in one compact Parquet file, with what it takes to make them again.

One row a run and epoch. Beside the columns of the frame (frame.py), each row carries the run's whole config,
its command line and its summary (versions, device, git commit, parameter counts) as JSON text; Parquet stores a
repeated text once. The ledger of a gate that asks for evidence is there too, a column `ledger_...` for each of
decisions.csv. The names of runs that were not finished are kept in the file's metadata.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bayes_pruning.config.errors import UserError
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.results.run_records import Incomplete, read_json
from bayes_pruning.runs import ledger

SUFFIX = ".parquet"
PROVENANCE = ("config", "overrides", "summary")  # columns of JSON text, kept out of the frame
LEDGER = {f"ledger_{name}": name for name in ledger.COLUMNS}
METADATA_KEY = b"bayes_pruning"
PLACES = ("output_dir", "data_root")  # settings that are folders of the machine
FORMAT = 2


def provenance(folder: Path) -> dict[str, Any]:
    """What made a finished run: its resolved config, the overrides of its command line and its summary.

    Of absolute paths in PLACES the last part only: an archive is for others, whose folders are elsewhere.
    """
    from omegaconf import OmegaConf

    overrides = folder / ".hydra" / "overrides.yaml"
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "config.yaml"), resolve=True)
        given: Any = OmegaConf.to_container(OmegaConf.load(overrides)) if overrides.exists() else []
    except Exception as error:  # OmegaConf, yaml and the file system each raise their own
        raise UserError(f"{folder / '.hydra'} can not be read ({type(error).__name__}: {error}).") from error
    places = {name: _last_part(config[name]) for name in PLACES if name in config}
    given = [_with_places(override, places) for override in given]
    return {"config": config | places, "overrides": given, "summary": read_json(folder / "summary.json")}


def _with_places(override: str, places: Mapping[str, str]) -> str:
    name = override.partition("=")[0].lstrip("+")
    return f"{name}={places[name]}" if name in places else override


def _last_part(path: str) -> str:
    return Path(path).name if Path(path).is_absolute() else path


def write(
    path: Path,
    frame: pd.DataFrame,
    made_by: Mapping[str, Mapping[str, Any]],
    ledgers: Mapping[str, Sequence[Decision]],
    incomplete: Incomplete,
) -> None:
    """Write runs to `path`, atomically.

    Args:
        path: of the archive.
        frame: the runs, an epoch a row.
        made_by: the provenance of each run of the frame, by its name.
        ledgers: an epoch a row, by the name of the run; only of runs that have one.
        incomplete: runs that were not finished.
    """
    columns = {name: pa.array(frame[name]) for name in frame.columns}
    for kind in PROVENANCE:
        texts = {run: json.dumps(values[kind]) for run, values in made_by.items()}
        columns[kind] = pa.array(frame["run"].map(texts), pa.string()).dictionary_encode()
    rows = {(run, row.epoch): row for run, rows in ledgers.items() for row in rows}
    kept = [rows.get(key) for key in zip(frame["run"], frame["epoch"], strict=True)]
    for column, name in LEDGER.items():
        kind = pa.int64() if name in ledger.WHOLE else pa.float64()
        columns[column] = pa.array([None if row is None else getattr(row, name) for row in kept], kind)
    about = json.dumps({"format": FORMAT, "incomplete": incomplete})
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: about.encode()})
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, part, compression="zstd", compression_level=19)
        part.replace(path)
    except OSError as error:
        raise UserError(f"{path} can not be written ({error}).") from error


def read(path: Path, columns: list[str]) -> tuple[pd.DataFrame, Incomplete]:
    """The named columns of an archive, and the runs that were not finished. Raises UserError if it is not one."""
    about = _about(path)
    return _table(path, columns), [(name, reason) for name, reason in about["incomplete"]]


def read_provenance(path: Path) -> dict[str, dict[str, Any]]:
    """The provenance of each run of an archive, by run name. Raises UserError if the file is not an archive."""
    _about(path)
    runs = _table(path, ["run", *PROVENANCE]).drop_duplicates("run").set_index("run")
    return {str(run): {kind: json.loads(row[kind]) for kind in PROVENANCE} for run, row in runs.iterrows()}


def read_ledgers(path: Path) -> dict[str, list[Decision]]:
    """The ledgers of an archive, by run name. Raises UserError if the file is not an archive."""
    _about(path)
    try:
        rows = pq.read_table(path, columns=["run", *LEDGER]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} can not be read as Parquet ({error}).") from error
    found: dict[str, list[Decision]] = {}
    for row in rows:
        if row["ledger_epoch"] is not None:
            found.setdefault(row["run"], []).append(Decision(**{name: row[column] for column, name in LEDGER.items()}))
    return found


def _about(path: Path) -> dict[str, Any]:
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} can not be read as Parquet ({error}).") from error
    if METADATA_KEY not in metadata:
        raise UserError(f"{path} is not an archive of scripts/publish.py.")
    about: dict[str, Any] = json.loads(metadata[METADATA_KEY])
    if about["format"] != FORMAT:
        raise UserError(f"{path} has format {about['format']}, this version reads {FORMAT}: publish the runs again.")
    return about


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pq.read_table(path, columns=columns).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} can not be read as Parquet ({error}).") from error
    return frame
