"""The W&B mirror: what W&B's own reader finds in real offline runs, and that training goes on without it."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, composed, config_of
from faults.wandb_troubles import NOBODY, RefusingStub
from omegaconf import OmegaConf

from bayes_pruning.config.schema import run_config
from bayes_pruning.results.wandb_upload import folders_of
from bayes_pruning.runs import tracking, wandb_process
from bayes_pruning.runs.run_folder import git_commit
from bayes_pruning.training.metrics import Metrics

AWKWARD = (1 / 3, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -1848.1415166644438, 1e-7, 2.0, 123456789.12345679)


def metrics(epoch: int, shift: int = 0) -> Metrics:
    """A row of numbers that are hard to write: none survives rounding to fewer than 17 digits."""
    values: Any = [AWKWARD[(i + shift + epoch) % len(AWKWARD)] for i in range(7)]
    return Metrics(epoch, *values[:5], 0.25, 0.75, epoch % 2, *values[2:], 0.125)


def inspect(folder: Path) -> list[dict[str, Any]]:
    """A W&B run folder as W&B's own reader shows it."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", str(folder), "--json"]
    return [json.loads(line) for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines()]


def only(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in records if record["type"] == kind]


def rows_of(records: list[dict[str, Any]]) -> list[dict[str, float]]:
    rows = [entry["item"] for entry in only(records, "history")]
    return [{name: value for name, value in row.items() if not name.startswith("_")} for row in rows]


def summary_of(records: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for entry in only(records, "summary") for name, value in entry["update"].items()}


def folder_of(output_dir: Path, run_id: str) -> Path:
    [folder] = output_dir.glob(f"wandb/offline-run-*-{run_id}")
    return folder


def job(output_dir: Path, *overrides: str) -> Any:
    return composed("dataset=mnist_5k", f"output_dir={output_dir}", *overrides)


def opened(config: Any, name: str) -> tracking.Tracker:
    return tracking.Tracker(run_config(config), config, Path(config.output_dir) / name)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two W&B runs that were live at once, their epochs logged in turn; the second failed after its second epoch."""
    folder = tmp_path_factory.mktemp("two")
    configs = {
        "first": job(folder, "pruner=magnitude", "sparsity=0.9", "seed=3", "wandb.group=table1"),
        "second": job(folder, "pruner=none", "model=cnn"),
    }
    trackers = {name: opened(config, name) for name, config in configs.items()}
    for epoch in (1, 2, 3):
        trackers["first"].log(metrics(epoch))
        if epoch < 3:
            trackers["second"].log(metrics(epoch, shift=1))
    trackers["first"].finish(metrics(3), failed=False)
    trackers["second"].finish(None, failed=True)
    tracking.close()
    return {name: (config, inspect(folder_of(folder, name))) for name, config in configs.items()}


@pytest.mark.slow
def test_every_number_is_logged_to_the_last_bit(two_runs: dict[str, Any]) -> None:
    assert rows_of(two_runs["first"][1]) == [asdict(metrics(epoch)) for epoch in (1, 2, 3)]


@pytest.mark.slow
def test_live_runs_do_not_mix(two_runs: dict[str, Any]) -> None:
    assert rows_of(two_runs["second"][1]) == [asdict(metrics(epoch, shift=1)) for epoch in (1, 2)]


@pytest.mark.slow
def test_epoch_is_the_step_axis_of_every_metric(two_runs: dict[str, Any]) -> None:
    records = two_runs["first"][1]
    [metric] = only(records, "metric")
    assert (metric["glob_name"], metric["step_metric"]) == ("*", "epoch")
    assert [entry["item"]["_step"] for entry in only(records, "history")] == [1, 2, 3]


@pytest.mark.slow
def test_a_run_says_what_it_is(two_runs: dict[str, Any]) -> None:
    [first] = only(two_runs["first"][1], "run")
    assert first["display_name"] == "mnist_5k-fcn-magnitude-0.9-seed3"
    assert (first["run_id"], first["project"], first["run_group"]) == ("first", "bayes_pruning", "table1")
    assert (first["job_type"], first["tags"]) == ("magnitude", ["mnist_5k", "fcn", "sparsity 0.9"])
    assert first.get("git", {}).get("commit") == git_commit()
    [second] = only(two_runs["second"][1], "run")
    assert (second["job_type"], second["tags"]) == ("none", ["mnist_5k", "cnn", "unpruned"])


@pytest.mark.slow
def test_the_config_is_the_resolved_one_as_plain_values(two_runs: dict[str, Any]) -> None:
    config, records = two_runs["first"]
    [first] = only(records, "run")
    logged = {name: value for name, value in first["config"]["update"].items() if name != "_wandb"}
    plain: Any = OmegaConf.to_container(config, resolve=True)
    assert logged == plain | {"hash": run_config(config).hash()}


@pytest.mark.slow
def test_a_finished_run_has_its_last_metrics_as_summary(two_runs: dict[str, Any]) -> None:
    summary = summary_of(two_runs["first"][1])
    last = asdict(metrics(3))
    assert {name: summary[name] for name in last} == last


@pytest.mark.slow
def test_the_exit_code_says_whether_a_run_failed(two_runs: dict[str, Any]) -> None:
    codes = [only(two_runs[name][1], "exit")[0].get("exit_code", 0) for name in ("first", "second")]
    assert codes == [0, 1]


def script(tmp_path: Path, mode: str, body: str) -> list[str]:
    """A command that opens a W&B run in a fresh process, then runs `body`."""
    config = tmp_path / "config.yaml"
    config.write_text(OmegaConf.to_yaml(job(tmp_path, f"wandb.mode={mode}")))
    lines = [
        "import os, signal, sys; from pathlib import Path",
        f"sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]",
        "from omegaconf import OmegaConf; from bayes_pruning.runs import train, tracking",
        "from test_tracking import metrics, opened",
        f"before = dict(os.environ); config = OmegaConf.load({str(config)!r})",
        "tracker = opened(config, 'a'); tracker.log(metrics(1)); tracker.log(metrics(2))",
        body,
    ]
    return [sys.executable, "-c", "\n".join(lines)]


@pytest.mark.slow
def test_disabled_imports_nothing_starts_nothing_and_writes_nothing(tmp_path: Path) -> None:
    body = "tracker.finish(metrics(2), False); print('wandb' in sys.modules, tracking._HELPER._process)"
    done = subprocess.run(script(tmp_path, "disabled", body), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "None"]
    assert not (tmp_path / "wandb").exists()


@pytest.mark.slow
def test_a_killed_process_leaves_all_its_epochs_and_an_environment_untouched(tmp_path: Path) -> None:
    body = "print('wandb' in sys.modules, os.environ == before, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run(script(tmp_path, "offline", body), capture_output=True, text=True)
    assert (done.stdout.split(), done.returncode) == (["False", "True"], -signal.SIGKILL)
    deadline = time.monotonic() + 60  # the helper may still be starting
    while not list(tmp_path.glob("wandb/offline-run-*/run-a.wandb")) and time.monotonic() < deadline:
        time.sleep(0.1)
    while not only(records := inspect(folder_of(tmp_path, "a")), "exit") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert rows_of(records) == [asdict(metrics(1)), asdict(metrics(2))]
    assert only(records, "exit")[0]["exit_code"] == 1


@pytest.fixture
def hanging_server() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """A server that takes no key."""
    with RefusingStub() as stub:
        yield stub.url


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["no key", "no server", "hanging server", "bad key"])
def test_online_without_a_server_goes_offline_at_once(
    trouble: str,
    tmp_path: Path,
    hanging_server: str,
    refusing_server: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = {"hanging server": hanging_server, "bad key": refusing_server}.get(trouble, NOBODY)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", "1")
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    if trouble != "no key":
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setitem(tracking.END_PATIENCE, "online", 20.0)  # this machine may be busy; the real one is measured
    config = job(tmp_path, "wandb.mode=online")
    start = time.monotonic()
    trackers = [opened(config, f"run{i}") for i in range(3)]
    for tracker in trackers:
        tracker.log(metrics(1))
        tracker.finish(metrics(1), failed=False)
    assert time.monotonic() - start < 10  # half of the patience above: nothing waited for the server
    tracking.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "scripts/sync_wandb.py" in caplog.text
    assert len(list(tmp_path.glob("wandb/*run-*-run*"))) == 3
    assert rows_of(inspect(folder_of(tmp_path, "run2"))) == [asdict(metrics(1))]


def test_the_helper_is_silent_and_is_as_patient_as_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tracking._Helper()
    for name, value in (("WANDB_HTTP_TIMEOUT", "7"), ("WANDB_SILENT", "false"), ("WANDB_ERROR_REPORTING", "true")):
        monkeypatch.setenv(name, value)
    helper._started()
    assert helper._process is not None
    path, environment = Path(f"/proc/{helper._process.pid}/environ"), b""
    while helper._process.poll() is None and not environment:  # it is empty while the program is being loaded
        environment = path.read_bytes()
    assert os.getsid(helper._process.pid) == helper._process.pid  # so that the terminal's Ctrl-C does not reach it
    helper._process.kill()
    helper._process.wait()
    helper.close()
    assert {b"WANDB_HTTP_TIMEOUT=7", b"WANDB_SILENT=true", b"WANDB_ERROR_REPORTING=false"} <= {
        *environment.split(b"\0")
    }


def test_what_wandb_is_told_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(tracking, "_send_through", sent.append)
    chosen = ("pruner=magnitude", "sparsity=0.9", "seed=3", "model.name=mine", f"output_dir={tmp_path}")
    config = config_of(*chosen, "wandb.project=ours", "wandb.entity=me", "wandb.group=table1")
    opened(config, "a folder").log(replace(metrics(1), log_bayes_factor=None))
    [told, logged] = sent
    plain: Any = OmegaConf.to_container(config, resolve=True)
    assert told["open"] == {
        **{"project": "ours", "entity": "me", "group": "table1", "job_type": "magnitude"},
        **{"id": "a folder", "name": "mnist_5k-mine-magnitude-0.9-seed3", "tags": ["mnist_5k", "mine", "sparsity 0.9"]},
        **{"mode": "offline", "dir": str(tmp_path), "git_commit": git_commit()},
        "config": plain | {"hash": run_config(config).hash()},
    }
    assert told["run"] == logged["run"] == str(tmp_path / "a folder")
    assert logged["row"] == {name: value for name, value in asdict(metrics(1)).items() if name != "log_bayes_factor"}


@pytest.mark.parametrize(("modes", "seconds"), [(["offline"], 30), (["online"], 5), (["online", "offline"], 30)])
def test_the_end_waits_for_wandb_as_long_as_the_page_says(
    modes: list[str], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/reliability.md: "at most 30 seconds offline and 5 online"."""
    waited: list[float] = []
    helper: Any = tracking._Helper()
    monkeypatch.setattr(helper, "_write", lambda _: None)
    for mode in modes:
        helper.send({"run": "a", "open": {"mode": mode}})
    helper._process = SimpleNamespace(stdin=SimpleNamespace(close=lambda: None), wait=waited.append)
    helper._warnings = SimpleNamespace(join=lambda _: None)
    helper.close()
    assert waited == [seconds]


class FakeRun:
    """A run of W&B's that notes what it hears."""

    def __init__(self, log: Path | None = None, error: Exception | None = None) -> None:
        self.offline, self.settings, self.error = log is None, SimpleNamespace(sync_file=log), error
        self.heard: list[Any] = []
        self.summary: dict[str, Any] = {}

    def note(self, *each: Any) -> None:
        if self.error is not None:
            raise self.error
        self.heard.append(each)

    def log(self, row: dict[str, Any], step: int) -> None:
        self.note(step, row)

    def finish(self, exit_code: int) -> None:
        self.note(exit_code)


def test_a_run_that_wandb_can_not_mirror_is_given_up_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row's step is its epoch; a run that is left open when training ends has failed."""
    fakes = {"broken": FakeRun(error=ValueError("a number too many")), "whole": FakeRun()}
    monkeypatch.setattr(wandb_process, "open_run", lambda mode, name: fakes[name])
    runs = wandb_process.OpenRuns()
    for name in fakes:
        runs.do({"run": name, "open": {"mode": "offline", "name": name}})
    for name in fakes:
        for epoch in (7, 8):
            runs.do({"run": name, "row": {"epoch": epoch}})
    runs.end()
    assert fakes["whole"].heard == [(7, {"epoch": 7}), (8, {"epoch": 8}), (1,)]
    said = "W&B does not mirror the run (ValueError: a number too many); training goes on.\n"
    assert capsys.readouterr().out == said


def test_without_a_server_a_run_is_opened_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    opened_with: list[dict[str, Any]] = []
    monkeypatch.setattr(wandb_process, "open_run", lambda **init: opened_with.append(init))
    runs = wandb_process.OpenRuns()
    runs.server = False
    runs.do({"run": "a", "open": {"mode": "online"}})
    assert opened_with == [{"mode": "offline"}]


@pytest.mark.parametrize("error", [None, TimeoutError("no answer")])
def test_only_a_run_that_the_server_took_whole_is_marked_as_uploaded(
    error: Exception | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, opened_with = wandb_process.OpenRuns(), dict[str, Any]()
    runs.server = True
    fake = FakeRun(tmp_path / "run-a.wandb", error)
    monkeypatch.setattr(wandb_process, "open_run", lambda **init: opened_with.update(init) or fake)
    runs.do({"run": "a", "open": {"mode": "online"}})
    runs.do({"run": "a", "finish": {"summary": {"epoch": 3}, "failed": False}})
    runs.end()
    assert (fake.summary, fake.heard) == ({"epoch": 3}, [] if error else [(0,)])
    assert opened_with == {"mode": "online", "resume": "allow"}
    assert [path.name for path in tmp_path.iterdir()] == ([] if error else ["run-a.wandb.synced"])


def test_a_server_that_can_not_be_used_is_asked_once_however_many_runs_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("wandb.login", lambda **options: asked.append(options))
    runs = wandb_process.OpenRuns()
    assert [runs._server_answers() for _ in range(100)] == [False] * 100
    assert asked == [{"prompt": False, "verify": True}]
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_helper_that_dies_or_hangs_is_given_up_with_one_warning(
    how: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "PIPE_PATIENCE", 0.3)
    tracker = opened(job(tmp_path), "a")
    process = tracking._HELPER._process
    assert process is not None
    os.kill(process.pid, how)
    if how is signal.SIGKILL:
        process.wait()
    start = time.monotonic()
    for epoch in range(1, 2000):  # far more than a pipe holds
        tracker.log(metrics(epoch))
    tracker.finish(None, failed=False)
    tracking.close()
    assert time.monotonic() - start < 30  # a pipe that nobody reads would block for ever
    assert len(caplog.records) == 1
    assert "no longer mirrors" in caplog.text
    assert process.poll() is not None


def test_the_folders_of_a_run_come_the_oldest_first_offline_or_online(tmp_path: Path) -> None:
    names = ["run-20260101_000000-first", "offline-run-20260102_000000-first", "offline-run-20260103_000000-second"]
    names.append("run-20260104_000000-first")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / f"run-{name.split('-')[-1]}.wandb").touch()
    found = {run: [folder.name for folder in folders] for run, folders in folders_of(tmp_path).items()}
    assert found == {"first": [names[0], names[1], names[3]], "second": [names[2]]}


def test_half_a_line_of_a_killed_process_says_nothing() -> None:
    """The helper would else end there, and leave the runs open that it has begun."""
    queue: SimpleQueue[bytes | None] = SimpleQueue()
    wandb_process._read_ahead([b'{"run": "a"}\n', b'{"run": "b", "lo'], queue)
    assert [queue.get(), queue.get()] == [b'{"run": "a"}\n', None]
