import json
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures import raw_rows, rewrite_summary, summary, unpack
from omegaconf import OmegaConf

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.presets import protocol_text
from bayes_pruning.config.schema import other_settings
from bayes_pruning.results import archive, declared, run_records
from bayes_pruning.results.frame import load, load_ledgers, load_summaries, publish
from bayes_pruning.results.selection import choose, of_protocol, protocols
from bayes_pruning.studies import table1
from bayes_pruning.training.metrics import COLUMNS, WHOLE

IDENTITY = ["run", "hash", "dataset", "model", "pruner", "target_sparsity", "seed", "protocol", "epochs"]
DECLARED = ["twin", "reads", "settings"]
FIXTURE_PROTOCOL = "regrow, previous, sum/sum, beta 0.5, prior N(0, 1^2)"
NASTY = ["5e-324", "1e+22", "0.30000000000000004", "1.0", "-0.0", "-1.7976931348623157e+308", "123456789.12345679"]


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """The fixture's runs; do not write to them."""
    return unpack(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def own_runs(tmp_path):
    """The fixture's runs, to be changed."""
    return unpack(tmp_path / "runs")


def folder_of(runs, pruner, sparsity, seed):
    [folder] = runs.glob(f"mnist_5k-fcn-{pruner}{f'-{sparsity}' if sparsity else ''}-seed{seed}-*")
    return folder


def hexes(frame):
    """A frame with every float as its exact bits in text."""
    floats = frame.select_dtypes("float").columns
    return frame.assign(**{name: [value.hex() for value in frame[name]] for name in floats})


def assert_same(one, other):
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    pd.testing.assert_frame_equal(hexes(one), hexes(other))


def test_frame_holds_every_row_of_every_run_unchanged(runs):
    frame = load(runs).frame
    assert list(frame.columns) == IDENTITY + DECLARED + list(COLUMNS)
    assert len(frame) == 18 * 3
    for folder in runs.iterdir():
        logged = frame[frame["run"] == folder.name]
        for row, raw in zip(logged.to_dict("records"), raw_rows(folder), strict=True):
            assert {name: float(row[name]) for name in COLUMNS} == {name: float(raw[name]) for name in COLUMNS}


def test_frame_says_what_each_run_is(runs):
    frame = load(runs).frame.drop_duplicates("run").set_index("run")
    for folder in runs.iterdir():
        row, said = frame.loc[folder.name], summary(folder)
        for field in ("hash", "dataset", "model", "pruner", "seed", "epochs"):
            assert row[field] == said[field]
        assert row["target_sparsity"] == (0.0 if said["pruner"] == "none" else said["sparsity"])
        assert row["protocol"] == FIXTURE_PROTOCOL


def test_frame_is_sorted_by_identity_then_epoch(runs):
    frame = load(runs).frame
    keys = frame[["dataset", "model", "pruner", "target_sparsity", "seed", "hash", "epoch"]].itertuples(index=False)
    order = [tuple(key) for key in keys]
    assert order == sorted(order)
    assert list(frame.index) == list(range(len(frame)))


def test_reading_results_does_not_import_torch_or_wandb():
    code = (
        "import sys, bayes_pruning.script, bayes_pruning.studies.formats; print({'torch', 'wandb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_one_run_folder_is_a_source_of_its_own(runs):
    folder = folder_of(runs, "magnitude", 0.9, 1)
    assert set(load(folder).frame["run"]) == {folder.name}


# ---- the same frame from every source


def mirror(folder, into, epochs, exit_code=0, extra=None):
    """Log some epochs of a run to a W&B offline run, as training does."""
    import wandb

    config = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "config.yaml"), resolve=True)
    run = wandb.init(
        mode="offline",
        project="test",
        id=folder.name,
        dir=into,
        config={**config, "hash": summary(folder)["hash"]} if extra is None else extra,
        reinit="create_new",
        settings=wandb.Settings(silent=True, console="off"),
    )
    for raw in raw_rows(folder):
        row = {name: int(raw[name]) if name in WHOLE else float(raw[name]) for name in COLUMNS}
        if row["epoch"] in epochs:
            run.log(row, step=row["epoch"])
    run.finish(exit_code=exit_code)


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    """Three finished runs as folders and as W&B offline runs; and in W&B one that failed and one of other origin."""
    every = unpack(tmp_path_factory.mktemp("all"))
    kept = tmp_path_factory.mktemp("kept")
    whole, resumed, nasty, failed = (
        folder_of(every, *what)
        for what in (("none", "", 0), ("bayes_random", 0.9, 1), ("magnitude", 0.5, 0), ("random", 0.9, 0))
    )
    lines = (nasty / "metrics.csv").read_text().splitlines()
    lines[2] = ",".join(["2", *NASTY, "1", *NASTY[:6]])
    (nasty / "metrics.csv").write_text("\n".join(lines) + "\n")
    for folder in (whole, resumed, nasty):
        shutil.copytree(folder, kept / folder.name)
    into = tmp_path_factory.mktemp("mirror")
    mirror(resumed, into, {1, 2}, exit_code=1)  # killed after epoch 2 ...
    mirror(whole, into, {1, 2, 3})
    mirror(nasty, into, {1, 2, 3})
    mirror(failed, into, {1}, exit_code=1)
    time.sleep(1.01 - time.time() % 1)  # W&B names offline folders by the second
    mirror(resumed, into, {2, 3})  # ... resumed after epoch 1, the last that was saved
    mirror(failed, into, {1}, extra={"learning_rate": 1})
    return kept, load(into / "wandb"), failed.name


@pytest.mark.slow
def test_folders_archive_and_wandb_give_the_same_frame_to_the_last_bit(mirrored, tmp_path):
    kept, offline, _ = mirrored
    folders = load(kept)
    publish(kept, tmp_path / "runs.parquet")
    assert len(folders.frame) == 9
    assert_same(folders.frame, load(tmp_path / "runs.parquet").frame)
    assert_same(folders.frame, offline.frame)


@pytest.mark.slow
def test_numbers_survive_exactly(mirrored):
    frame = load(mirrored[0]).frame
    row = frame[(frame["pruner"] == "magnitude") & (frame["epoch"] == 2)].iloc[0]
    bits = [float(row[name]).hex() for name in COLUMNS[1:8]]
    assert bits == [(float(text) + 0.0).hex() for text in NASTY]  # the negative zero as zero


@pytest.mark.slow
def test_unfinished_wandb_runs_are_reported_not_mixed_in(mirrored):
    _, results, failed = mirrored
    assert failed not in set(results.frame["run"])
    assert (failed, "failed: 1 epoch of 3") in results.incomplete
    [stranger] = [reason for name, reason in results.incomplete if name != failed]
    assert "no hash" in stranger


def test_server_project_must_be_two_names():
    with pytest.raises(UserError, match="--wandb bayes_pruning is not ENTITY/PROJECT"):
        load(wandb="bayes_pruning")


class ServerRun:
    """What wandb.Api() gives for one run: the history's rows may lack columns, and 1.0 comes back as 1."""

    def __init__(self, folder, epochs=(1, 2, 3), state="finished"):
        self.name, self.created_at, self.state = folder.name, "2026-01-01T00:00:00", state
        self.config = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "config.yaml"))
        self.config["hash"] = summary(folder)["hash"]
        self._rows = [row for row in raw_rows(folder) if int(row["epoch"]) in epochs]

    def scan_history(self, keys=None, use_cache=True):
        assert keys is None  # with keys W&B answers from the rows that it has sampled
        rows = [{name: json.loads(text) for name, text in row.items()} for row in self._rows]
        return iter([{"_step": 0}, *({n: int(v) if v == int(v) else v for n, v in r.items()} for r in rows)])


def test_server_gives_the_same_frame_and_passes_the_filters_on(runs, monkeypatch):
    import wandb

    asked = []

    class Api:
        def runs(self, path, filters, lazy):
            asked.append((path, filters, lazy))
            return [ServerRun(folder) for folder in runs.iterdir()]

    monkeypatch.setattr(wandb, "Api", Api)
    assert_same(load(runs).frame, load("ignored", wandb="me/mine", filters={"group": "g"}).frame)
    assert asked == [("me/mine", {"group": "g"}, False)]


def test_of_two_runs_on_the_server_that_are_one_run_the_later_counts_in_each_epoch(runs, monkeypatch):
    """The first crashed after epoch 2, the second went on after epoch 1; another crashed, and one trains nothing."""
    import wandb

    folder, other = folder_of(runs, "random", 0.9, 0), folder_of(runs, "random", 0.9, 1)
    first, second = ServerRun(folder, (1, 2), "crashed"), ServerRun(folder, (2, 3))
    first._rows[1] = first._rows[1] | {"test_accuracy": "0.5"}
    first.name, second.name, second.created_at = "z", "a", "2026-01-02T00:00:00"
    crashed, publication = ServerRun(other, (1,), "crashed"), ServerRun(other)
    publication.config = {"publication": "runs.parquet", "runs": 18}
    for given in ([first, second], [second, first]):
        served = [*given, crashed, publication]
        monkeypatch.setattr(wandb, "Api", lambda served=served: SimpleNamespace(runs=lambda *_, **__: served))
        found = load(wandb="me/mine")
        assert_same(found.frame, load(folder).frame)
        assert found.incomplete == [(other.name, "failed: 1 epoch of 3")]
    monkeypatch.setattr(wandb, "Api", lambda: SimpleNamespace(runs=lambda *_, **__: [crashed]))
    assert load(wandb="me/mine").incomplete == found.incomplete  # none is finished, and that is said
    monkeypatch.setattr(wandb, "Api", lambda: SimpleNamespace(runs=lambda *_, **__: []))
    with pytest.raises(UserError, match=r"^me/mine on W&B has no runs that match the filters\.$"):
        load(wandb="me/mine", filters={"group": "g"})


def test_server_trouble_is_one_sentence(monkeypatch):
    import wandb

    class Api:
        def runs(self, *_, **__):
            raise ValueError("Could not find project")

    monkeypatch.setattr(wandb, "Api", Api)
    with pytest.raises(UserError, match=r"me/mine can not be read from W&B \(ValueError: Could not find project\)"):
        load(wandb="me/mine")


# ---- archives


def test_archive_keeps_configs_commands_and_versions(runs, tmp_path):
    publish(runs, tmp_path / "new" / "runs.parquet")
    kept = archive.read_provenance(tmp_path / "new" / "runs.parquet")
    assert set(kept) == {folder.name for folder in runs.iterdir()}
    for folder in runs.iterdir():
        config = OmegaConf.to_container(OmegaConf.load(folder / ".hydra/config.yaml"))
        overrides = list(OmegaConf.load(folder / ".hydra/overrides.yaml"))
        overrides[overrides.index(f"output_dir={config['output_dir']}")] = "output_dir=runs"
        config["output_dir"] = "runs"
        assert kept[folder.name] == {"config": config, "overrides": overrides, "summary": summary(folder)}


def test_archive_names_no_folder_of_the_machine(own_runs, tmp_path):
    folder = folder_of(own_runs, "random", 0.9, 0)
    for name, at in (("config.yaml", "output_dir"), ("overrides.yaml", None)):
        file = folder / ".hydra" / name
        given = OmegaConf.load(file)
        if at:
            given.output_dir, given.data_root = "/mine/alone/runs", "my/data"
        else:
            given.extend(["++output_dir='/mine/alone/runs'", "data_root=my/data"])
        OmegaConf.save(given, file)
    made_in_python = folder_of(own_runs, "random", 0.9, 1)  # which Hydra has no command line of
    (made_in_python / ".hydra" / "overrides.yaml").unlink()
    publish(own_runs, tmp_path / "runs.parquet")
    made_by = archive.read_provenance(tmp_path / "runs.parquet")
    kept = made_by[folder.name]
    assert (kept["config"]["output_dir"], kept["config"]["data_root"]) == ("runs", "my/data")
    assert kept["overrides"][-2:] == ["output_dir=runs", "data_root=my/data"]
    assert made_by[made_in_python.name]["overrides"] == []


def test_archive_remembers_what_was_not_finished(own_runs, tmp_path):
    folder = folder_of(own_runs, "random", 0.9, 0)
    (folder / "summary.json").unlink()
    publish(own_runs, tmp_path / "runs.parquet")
    results = load(tmp_path / "runs.parquet")
    assert results.incomplete == load(own_runs).incomplete == [(folder.name, "not finished: 3 epochs so far")]


def test_a_folder_of_archives_is_read_as_one(runs, tmp_path):
    for seed in (0, 1):
        for folder in runs.glob(f"*-seed{seed}-*"):
            shutil.copytree(folder, tmp_path / f"part{seed}" / folder.name)
        publish(tmp_path / f"part{seed}", tmp_path / "published" / f"{seed}.parquet")
    assert_same(load(runs).frame, load(tmp_path / "published").frame)


def part(runs, pattern, into):
    """A folder with the runs whose names fit a pattern."""
    for folder in runs.glob(pattern):
        shutil.copytree(folder, into / folder.name)
    return into


def test_publishing_keeps_the_runs_whose_folders_are_gone_in_whatever_order(runs, tmp_path):
    parts = [part(runs, f"*-seed{seed}-*", tmp_path / f"part{seed}") for seed in (0, 1)]
    whole, grown, turned = (tmp_path / f"{name}.parquet" for name in ("whole", "grown", "turned"))
    publish(runs, whole)
    assert publish(parts[0], grown)[1] == 0
    published, kept = publish(parts[1], grown)
    assert kept == len(list(parts[0].iterdir())) == 9
    assert_same(published.frame, load(runs).frame)
    assert_same(published.frame, load(grown).frame)
    for folder in reversed(parts):
        publish(folder, turned)
    assert publish(runs, turned)[1] == 18  # nothing is there twice
    assert whole.read_bytes() == grown.read_bytes() == turned.read_bytes()


def test_publishing_keeps_ledgers_and_the_versions_of_each_machine(own_runs, tmp_path):
    first, second = folder_of(own_runs, "bayes_random", 0.9, 0), folder_of(own_runs, "bayes_random", 0.9, 1)
    rows = [",".join(archive.LEDGER.values()), "1,1,-0.5,,,,,,", "2,0,-0.5,1,-1.5,-2.5,-3.5,nan,nan"]
    (first / "decisions.csv").write_text("\n".join(rows) + "\n")
    versions = summary(second)["versions"] | {"torch": "9.9.9"}
    rewrite_summary(second, versions=versions, device="cuda:0")
    for folder in (first, second):
        publish(folder, tmp_path / "runs.parquet")
    summaries, ledgers = (read(tmp_path / "runs.parquet") for read in (load_summaries, load_ledgers))
    assert summaries == {folder.name: summary(folder) for folder in (first, second)}
    assert str(ledgers) == str(load_ledgers(own_runs))
    publish(first, tmp_path / "runs.parquet")  # and agrees with itself


@pytest.mark.parametrize("changed", ["summary", "metrics", "decisions"])
def test_a_run_that_differs_from_the_published_one_is_named_and_the_archive_stays(changed, own_runs, tmp_path):
    folder, path = folder_of(own_runs, "random", 0.9, 0), tmp_path / "runs.parquet"
    publish(own_runs, path)
    before = path.read_bytes()
    if changed == "summary":
        rewrite_summary(folder, wall_seconds=1.5)
    elif changed == "metrics":
        lines = (folder / "metrics.csv").read_text().splitlines()
        (folder / "metrics.csv").write_text("\n".join([*lines[:-1], lines[-1].rpartition(",")[0] + ",1.5"]) + "\n")
    else:
        header = ",".join(archive.LEDGER.values())
        (folder / "decisions.csv").write_text(f"{header}\n1,1,-0.5,,,,,,\n")
    with pytest.raises(UserError, match=f"{folder.name} in {own_runs} and in {path} have the same name and differ"):
        publish(own_runs, path)
    assert path.read_bytes() == before


def test_a_run_that_was_not_finished_when_it_was_published_is_whole_later(own_runs, tmp_path):
    folder = folder_of(own_runs, "random", 0.9, 0)
    text = (folder / "summary.json").read_text()
    (folder / "summary.json").unlink()
    remembered = publish(own_runs, tmp_path / "runs.parquet")[0].incomplete
    assert publish(folder_of(own_runs, "none", "", 0), tmp_path / "runs.parquet")[0].incomplete == remembered != []
    (folder / "summary.json").write_text(text)
    published, kept = publish(own_runs, tmp_path / "runs.parquet")
    assert (published.incomplete, kept) == ([], 17)
    assert_same(published.frame, load(own_runs).frame)


@pytest.mark.parametrize("text", ["", "pruner:", "pruner: {name: none}", "pruner: ["])
def test_a_damaged_config_is_named(text, own_runs):
    [folder] = own_runs.glob("*-none-seed0-*")
    (folder / ".hydra" / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=rf"^{folder}/\.hydra/config\.yaml can not be read \(.+\)\.$"):
        load(own_runs)


def test_publishing_does_not_write_over_another_file(runs, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt can not be read as Parquet"):
        publish(runs, tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_archive_is_no_folder_to_publish_from(runs, tmp_path):
    publish(runs, tmp_path / "runs.parquet")
    with pytest.raises(UserError, match=r"runs\.parquet is not a folder of run folders, which alone have the configs"):
        publish(tmp_path / "runs.parquet", tmp_path / "again.parquet")
    assert not (tmp_path / "again.parquet").exists()


# ---- what is not finished, or damaged


def test_half_finished_and_failed_runs_are_reported_not_mixed_in(own_runs):
    half, failed = folder_of(own_runs, "random", 0.9, 0), folder_of(own_runs, "magnitude", 0.9, 0)
    for folder in (half, failed):
        (folder / "summary.json").unlink()
    torn = (half / "metrics.csv").read_text()[:-20]
    (half / "metrics.csv").write_text(torn)
    (failed / "failure.json").write_text('{"epoch": 2, "reason": "the training loss became nan in epoch 2"}')
    results = load(own_runs)
    assert results.incomplete == [
        (failed.name, "failed: the training loss became nan in epoch 2"),
        (half.name, "not finished"),
    ]
    (half / "metrics.csv").unlink()  # it was killed before it was there
    for damaged in ("3", "{}"):
        (failed / "failure.json").write_text(damaged)
        found = load(own_runs).incomplete
        assert found == [(failed.name, "failed: its failure.json can not be read"), (half.name, "not finished")]
    assert results.frame["run"].nunique() == 16
    assert not {half.name, failed.name} & set(results.frame["run"])


def spoil(folder, line, change):
    lines = (folder / "metrics.csv").read_text().splitlines()
    lines[line - 1] = change(lines[line - 1])
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def test_a_negative_zero_is_read_as_zero(runs, tmp_path):
    run = shutil.copytree(folder_of(runs, "random", 0.9, 0), tmp_path / "run")
    spoil(run, 2, lambda text: ",".join(["1", "-0.0", *text.split(",")[2:]]))
    assert str(load(run).frame["train_loss"][0]) == "0.0"


def test_an_empty_cell_is_read_as_missing(runs, tmp_path):
    run = shutil.copytree(folder_of(runs, "random", 0.9, 0), tmp_path / "run")
    spoil(run, 2, lambda text: ",".join([*text.split(",")[:-2], "", "1.0"]))
    assert list(load(run).frame["log_bayes_factor"].isna()) == [True, False, False]


@pytest.mark.parametrize(
    ("line", "change", "complaint"),
    [
        (1, lambda text: text.replace("seconds", "second"), "the columns are not those of metrics.csv"),
        (3, lambda text: text[: text.rindex(",")], "14 values where 15 are expected"),
        (3, lambda text: text.replace(",", ",x", 1), "could not convert string to float"),
        (3, lambda text: "3" + text[1:], "epoch 3 where 2 is expected"),
        (4, lambda text: text[: text.rindex(",")] + ",nan", "a number that is not finite"),
    ],
)
def test_a_damaged_csv_is_named_with_its_line(own_runs, line, change, complaint):
    folder = folder_of(own_runs, "random", 0.9, 0)
    spoil(folder, line, change)
    with pytest.raises(UserError) as error:
        load(own_runs)
    assert str(error.value).startswith(f"{folder / 'metrics.csv'}, line {line}: {complaint}")


def test_a_number_without_end_is_refused():
    with pytest.raises(UserError, match=r"^here: a number that is not finite\.$"):
        run_records._row(["1", *["inf"] * (len(COLUMNS) - 1)], 1, "here")


def test_a_csv_that_lost_an_epoch_is_refused(own_runs):
    path = folder_of(own_runs, "random", 0.9, 0) / "metrics.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
    with pytest.raises(UserError, match=r"metrics.csv has 2 epochs but summary.json says 3"):
        load(own_runs)


@pytest.mark.parametrize(("text", "complaint"), [("{", "can not be read as JSON"), ("{}", "is not a run's summary")])
def test_a_damaged_summary_is_named(own_runs, text, complaint):
    path = folder_of(own_runs, "random", 0.9, 0) / "summary.json"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint) as error:
        load(own_runs)
    assert str(path) in str(error.value)


def test_sources_that_are_none_are_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has no runs in it"):
        load(tmp_path)
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(UserError, match=r"text.parquet can not be read as Parquet"):
        load(tmp_path / "text.parquet")
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"other.parquet is not an archive"):
        load(tmp_path / "other.parquet")
    table = pa.table({"x": [1]}).replace_schema_metadata({archive.METADATA_KEY: '{"format": 1}'})
    pq.write_table(table, tmp_path / "older.parquet")
    with pytest.raises(UserError, match=r"older.parquet has format 1, this version reads 2: publish the runs again"):
        load(tmp_path / "older.parquet")


def test_a_run_that_is_there_twice_is_refused(own_runs):
    folder = folder_of(own_runs, "random", 0.9, 0)
    shutil.copytree(folder, own_runs / "copy")
    with pytest.raises(UserError, match=f"copy and {folder.name} are the same run"):
        load(own_runs)


# ---- protocols

PROTOCOL = {
    "name": "paper",
    "regrow": True,
    "decision": "previous",
    "log_likelihood": "sum",
    "log_prior": "sum",
    "beta": 0.5,
    "prior": {"mean": 0.0, "std": 1.0},
}


def test_protocol_text_is_readable_and_leaves_the_name_out():
    assert protocol_text(PROTOCOL) == protocol_text(PROTOCOL | {"name": "mine"}) == FIXTURE_PROTOCOL
    assert protocol_text(PROTOCOL | {"first_gate": "open", "prunes": "weights"}) == FIXTURE_PROTOCOL
    candidate = PROTOCOL | {"decision": "candidate"}
    assert protocol_text(candidate) == protocol_text(candidate | {"first_gate": "closed"})


@pytest.mark.parametrize(
    "change",
    [
        {"regrow": False},
        {"decision": "candidate"},
        {"first_gate": "closed"},
        {"prunes": "parameters"},
        {"log_likelihood": "mean"},
        {"log_prior": "mean"},
        {"beta": math.nextafter(0.5, 1)},
        {"prior": {"mean": math.nextafter(0, 1), "std": 1.0}},
        {"prior": {"mean": 0.0, "std": math.nextafter(1, 0)}},
    ],
)
def test_protocols_that_differ_in_anything_have_different_texts(change):
    assert protocol_text(PROTOCOL | change) != FIXTURE_PROTOCOL


def made_frame(*runs):
    """A frame of one row a run from (pruner, protocol changes, seed), with as many of the columns as choosing needs."""
    rows = [
        {
            "run": f"run{i}",
            "hash": str(i),
            "dataset": "mnist",
            "model": "fcn",
            "pruner": pruner,
            "target_sparsity": 0.0 if pruner == "none" else 0.5,
            "seed": seed,
            "protocol": protocol_text(PROTOCOL | changes),
            "epochs": 1,
            "reads": declared.by_name()[pruner].reads,
            "settings": "{}",
            "epoch": 1,
        }
        for i, (pruner, changes, seed) in enumerate(runs)
    ]
    return pd.DataFrame(rows)


def test_two_protocols_are_refused_with_the_list_and_the_flag():
    frame = made_frame(("bayes_random", {}, 0), ("bayes_random", {"decision": "candidate"}, 0))
    unnamed = made_frame(("bayes_random", {"decision": "candidate", "beta": 0.123}, 0))
    with pytest.raises(UserError) as error:
        choose(pd.concat([unnamed, frame]))
    text = FIXTURE_PROTOCOL.replace("previous", "candidate").replace("beta 0.5", "beta 0.123")
    assert str(error.value) == (  # short names, the default first; the text where there is no short name
        f'The runs follow 3 protocols: choose with --protocol one of paper, candidate, "{text}".'
    )
    assert list(choose(frame, "candidate")["run"]) == ["run1"]
    assert list(choose(frame, FIXTURE_PROTOCOL)["run"]) == ["run0"]
    with pytest.raises(UserError, match='"regrow" fits 2 protocols'):
        choose(frame, "regrow")
    with pytest.raises(UserError, match='"sorcery" fits no protocol'):
        choose(frame, "sorcery")


def test_the_name_of_a_preset_is_not_that_of_a_longer_one():
    kept = {"decision": "candidate", "regrow": False}  # kept_candidate
    frame = made_frame(("bayes_random", {"decision": "candidate"}, 0), ("bayes_random", kept, 0))
    assert list(choose(frame, "candidate")["run"]) == ["run0"]


def test_runs_serve_every_protocol_that_they_can_not_tell_apart():
    frame = made_frame(
        ("none", {}, 0),
        ("random", {}, 0),
        ("random", {"regrow": False}, 0),
        ("bayes_random", {}, 0),
        ("bayes_random", {"decision": "candidate", "beta": 2.0}, 0),
        ("bayes_random", {"regrow": False, "prior": {"mean": 0.0, "std": 0.1}}, 0),
        ("random", {"prunes": "parameters"}, 0),
    )
    assert len(protocols(frame)) == 4  # the classic runs serve any with their `regrow` that prunes the same
    assert list(choose(frame, FIXTURE_PROTOCOL)["run"]) == ["run0", "run1", "run3"]
    assert list(choose(frame, "candidate")["run"]) == ["run0", "run1", "run4"]
    assert list(choose(frame, "N(0, 0.1^2)")["run"]) == ["run0", "run2", "run5"]
    assert list(choose(frame, "with_biases")["run"]) == ["run0", "run6"]
    narrow = {"prior": {"mean": 0.0, "std": 0.1}}
    assert len(protocols(made_frame(("bayes_random", {}, 0), ("bayes_random", narrow, 0)))) == 2


def test_a_baseline_of_the_protocol_itself_comes_before_one_of_another():
    frame = made_frame(
        ("none", {"log_prior": "mean"}, 0),
        ("none", {}, 0),
        ("none", {"log_prior": "mean"}, 1),
        ("bayes_random", {}, 0),
    )
    assert list(choose(frame)["run"]) == ["run1", "run2", "run3"]


def test_lengths_are_not_mixed():
    frame = made_frame(("none", {}, 0), ("random", {}, 0)).assign(epochs=[25, 3])
    with pytest.raises(UserError, match=r"The runs have 3 or 25 epochs.*--epochs"):
        choose(frame)
    assert list(choose(frame, epochs=3)["run"]) == ["run1"]
    with pytest.raises(UserError, match="--epochs 4 fits no run: they have 3 or 25 epochs"):
        choose(frame, epochs=4)
    with pytest.raises(UserError, match=r"^There is no finished run to choose from\.$"):
        choose(frame.iloc[:0])
    baselines = made_frame(("none", {"log_prior": "mean"}, 0), ("none", {}, 0)).assign(epochs=[25, 3])
    assert len(of_protocol(baselines, FIXTURE_PROTOCOL)) == 2  # neither stands for the other


def test_two_runs_for_one_cell_and_seed_are_refused():
    with pytest.raises(UserError, match=r"^run0 and run2 are both "):
        choose(made_frame(("random", {}, 0), ("random", {}, 1), ("random", {}, 0)))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("learning_rate: 0.001", "learning_rate: 0.01", "learning_rate (0.001 and 0.01)"),
        ("- 128", "- 64", "model.hidden ([256, 128] and [256, 64])"),
        ("gate: always", "gate: always\n  selector_options: {noise: 9}", "pruner.selector_options.noise (null and 9)"),
        ("learning_rate: 0.001", "learning_rate: '${epochs}'", "learning_rate (0.001 and 3)"),
    ],
)
def test_runs_of_a_cell_that_differ_in_a_setting_no_table_names_are_refused(old, new, told, runs, tmp_path):
    both = [shutil.copytree(folder_of(runs, "magnitude", 0.9, n), tmp_path / "two" / f"run{n}") for n in (0, 1)]
    assert len(choose(load(tmp_path / "two").frame)) == 6
    config = both[1] / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace(old, new))
    publish(tmp_path / "two", tmp_path / "two.parquet")
    for source in (tmp_path / "two", tmp_path / "two.parquet"):
        with pytest.raises(UserError) as error:
            choose(load(source).frame)
        assert str(error.value).startswith(f"run0 and run1 are both mnist_5k fcn magnitude 90% and differ in {told}:")


@pytest.mark.parametrize(
    "more",
    [
        {"optimizer": "adam", "momentum": 0.9, "precision": "fp32"},  # Adam has no momentum
        {"pruner": {"name": "other", "gate": "always", "scope": "layer", "gate_options": {}, "twin": "random"}},
        {"seed": 1, "epochs": 9, "sparsity": 0.5, "protocol": {"name": "mean"}, "device": "cuda"},
        {"model": {"name": "fcn", "scale": 1}},  # JSON may show 1.0 as 1
    ],
)
def test_what_a_table_names_or_no_number_depends_on_is_no_other_setting(more):
    older = {"model": {"name": "fcn", "scale": 1.0}, "pruner": {"name": "magnitude", "gate": "always"}}
    told, again = (json.dumps(other_settings(values), sort_keys=True) for values in (older, older | more))
    assert told == again
    assert {**other_settings(older), "pruner.gate": "never"} != other_settings(older | {"pruner": {"gate": "never"}})


# ---- speed


@pytest.mark.slow
def test_630_runs_are_read_in_a_few_seconds_of_processor_time(own_runs, tmp_path):
    source, many = folder_of(own_runs, "random", 0.9, 0), tmp_path / "many"
    header, *rows = (source / "metrics.csv").read_text().splitlines()
    longer = [",".join([str(i + 1), *rows[i % 3].split(",")[1:]]) for i in range(25)]
    (source / "metrics.csv").write_text("\n".join([header, *longer]) + "\n")
    for i in range(630):
        folder = many / f"run{i:03d}"
        shutil.copytree(source, folder)
        rewrite_summary(folder, seed=i, hash=str(i), epochs=25)
    start = time.process_time()
    results = load(many)
    assert time.process_time() - start < 10
    assert len(results.frame) == 630 * 25
    config = OmegaConf.to_container(OmegaConf.load(source / ".hydra" / "config.yaml"))
    made_by = {each.name: {"config": config, "overrides": [], "summary": summary(each)} for each in many.iterdir()}
    archive.write(Path(tmp_path / "many.parquet"), results.frame, made_by, {}, [])
    start = time.process_time()
    again = load(tmp_path / "many.parquet")
    assert time.process_time() - start < 2
    assert_same(results.frame, again.frame)


# ---- what pruners declare


def rewrite_pruner(folder, **changes):
    path = folder / ".hydra" / "config.yaml"
    config = OmegaConf.load(path)
    config.pruner.update(changes)
    path.write_text(OmegaConf.to_yaml(config))
    rewrite_summary(folder, pruner=changes["name"])


def test_a_pruner_without_a_twin_is_compared_with_none_and_a_declared_one_is_whatever_its_name(own_runs):
    for folder in own_runs.glob("*-bayes_magnitude-*"):
        rewrite_pruner(folder, name="bayes_schedule", twin=None)
    for folder in own_runs.glob("*-bayes_random-*"):
        rewrite_pruner(folder, name="mine", twin="random")
    loaded = load(own_runs).frame
    assert set(loaded.loc[loaded["pruner"] == "mine", "twin"]) == {"random"}
    assert set(loaded.loc[loaded["pruner"] == "bayes_schedule", "twin"]) == {""}
    pairs = table1.twins(loaded)
    assert ("mine", "random") in pairs
    assert "bayes_schedule" not in dict(pairs)
    declared_anew = pd.DataFrame({"pruner": ["bayes_random"], "twin": ["magnitude"]})
    assert declared.twins(declared_anew)["bayes_random"] == "magnitude"  # what runs say, not the file of their name


def test_an_unpruned_run_is_the_baseline_whatever_its_pruner_is_called(own_runs):
    for folder in own_runs.glob("*-none-*"):
        rewrite_pruner(folder, name="baseline", twin=None)
        rewrite_summary(folder, sparsity=0.3)
    loaded = load(own_runs).frame
    baseline = loaded[loaded["run"].str.contains("-none-")]
    assert set(baseline["pruner"]) == {"none"}
    assert set(baseline["target_sparsity"]) == {0.0}
    assert set(baseline["reads"]) == {"nothing"}


def test_what_older_runs_do_not_declare_is_derived_from_their_configs(own_runs):
    gate_never = {"name": "baseline", "gate": "never"}
    assert declared.of_config(gate_never) == declared.Declared(True, "", "nothing")
    older = {"name": "laplace_random", "gate": "laplace_evidence", "selector": "random"}
    assert declared.of_config(older) == declared.Declared(False, "random", "all")
    assert declared.of_config({"name": "gradual", "gate": "always", "schedule": "gradual"}).reads == "masks"
    assert declared.of_config({"name": "x", "gate": "always", "schedule": "evidence"}).reads == "all"
    assert declared.of_config({"name": "matched_random", "gate": "matched_rate"}).reads == "all"
    assert declared.of_config({"name": "x", "gate": "nowhere.to_be_found"}).reads == "all"
    folder = next(own_runs.glob("*-none-seed0-*"))
    rewrite_summary(folder, pruner="baseline")  # a name that no file of conf/pruner has: its config says gate never
    assert set(load(folder).frame["pruner"]) == {"none"}


def test_a_run_that_several_archives_of_a_folder_hold_is_that_of_the_first(runs, tmp_path, monkeypatch):
    first, again = (shutil.copytree(runs, tmp_path / name) for name in ("first", "again"))
    for copy, threshold in ((first, -0.5), (again, -0.25)):
        folder = folder_of(copy, "bayes_random", 0.9, 0)
        (folder / "decisions.csv").write_text(f"{','.join(archive.LEDGER.values())}\n1,1,{threshold},,,,,,\n")
    rewrite_summary(folder, wall_seconds=1.5)
    config = folder / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("\npruner:\n", "\npruner:\n  twin: magnitude\n"))
    (folder_of(again, "bayes_random", 0.9, 1) / "summary.json").unlink()
    publish(first, tmp_path / "all" / "a.parquet")
    publish(again, tmp_path / "all" / "b.parquet")
    glob = Path.glob  # a file system lists files in any order
    monkeypatch.setattr(Path, "glob", lambda path, pattern: sorted(glob(path, pattern), reverse=True))
    found = load(tmp_path / "all")
    assert_same(found.frame, load(runs).frame)
    assert found.incomplete == []  # what one archive lacks is finished in the other
    assert load_summaries(tmp_path / "all") == load_summaries(first)
    assert load_ledgers(tmp_path / "all") == load_ledgers(first)
    assert load_ledgers(first)[folder.name][0].log_threshold == -0.5
    assert load_ledgers(tmp_path / "all", again)[folder.name][0].log_threshold == -0.25  # a folder is before an archive


def test_a_ledger_that_is_missing_is_named(own_runs):
    folder = folder_of(own_runs, "bayes_random", 0.9, 0)
    rewrite_summary(folder, reads_bayes_factor=True)
    with pytest.raises(UserError, match=rf"^{folder}/decisions\.csv is missing"):
        load_ledgers(own_runs)


def test_an_archive_beside_run_folders_is_read_by_no_command(own_runs):
    publish(own_runs, own_runs / "runs.parquet")
    [gone] = own_runs.glob("*-bayes_random-0.5-seed0-*")
    shutil.rmtree(gone)
    half = folder_of(own_runs, "bayes_random", 0.5, 1)
    (half / "summary.json").unlink()  # it is not finished
    names = {folder.name for folder in own_runs.iterdir() if folder.is_dir()} - {half.name}
    assert set(load(own_runs).frame["run"]) == set(load_summaries(own_runs)) == names
    assert gone.name not in load_ledgers(own_runs)
