"""Test disks that are full or read-only and folders that vanish: what was written stays, the next start recovers."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, composed
from needs import need

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.schema import run_config
from bayes_pruning.results import run_records
from bayes_pruning.runs import checkpoint, files, layout, run_folder
from bayes_pruning.training import trainer
from faults.contents import contents
from faults.small_disk import SmallDisk

RUN = ("dataset=mnist_5k", "model.hidden=[8]", "batch_size=500", "sparsity=0.9", *QUIET)
LEFT: dict[tuple[str, ...], dict[str, Any]] = {}  # by undisturbed commands
Command = Callable[..., tuple[Any, str]]
pytestmark = pytest.mark.usefixtures("digits_only")


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    need("disk")
    with SmallDisk(kilobytes=400) as disk:
        yield disk


def only_folder(output: Path) -> Path:
    [folder] = output.glob("mnist_5k-*")
    return folder


def assert_readable(folder: Path, epochs: int) -> None:
    """Check that each file of rows has this many whole ones, and that nothing temporary lies about."""
    assert len(run_records.read_metrics(folder / "metrics.csv")) == epochs
    for name in ("decisions.csv", "train.log"):
        assert (folder / name).read_text().endswith("\n")
    assert not list(folder.rglob("*.part"))


def assert_recovers(command: Command, output: Path, undisturbed: Path, *arguments: str) -> None:
    """Check that the same command ends, and leaves what it would have left undisturbed: it is run so once."""
    assert not command(*arguments, *RUN, f"output_dir={output}")[0]
    if arguments not in LEFT:
        assert not command(*arguments, *RUN, f"output_dir={undisturbed}")[0]
        LEFT[arguments] = contents(undisturbed)
    assert contents(output) == LEFT[arguments]


def full_log() -> int:
    """Return a descriptor to write to on a full disk."""
    return os.open("/dev/full", os.O_WRONLY)


def closed_pipe() -> int:
    """Return a descriptor to write to that nobody reads any more, as of `train.py | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("output", [full_log, closed_pipe])
@pytest.mark.parametrize("progress", ["lines", "bar"])
@pytest.mark.parametrize("sweep", [(), ("-m", "seed=0,1")])
def test_output_that_can_not_be_written_is_given_up_and_training_goes_on(
    sweep: tuple[str, ...],
    progress: str,
    output: Callable[[], int],
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, os.fdopen(output(), "w"))
    code, _ = command(*sweep, *RUN, f"progress={progress}", "epochs=2", f"output_dir={tmp_path}")
    assert not code
    assert len(list(tmp_path.glob("*/summary.json"))) == 1 + bool(sweep)
    sys.stdout.flush()  # as Python does at its exit


def before_epoch(number: int, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something happen while a run trains, once."""
    run_epoch, left = trainer.Trainer.run_epoch, [act]

    def hooked(self: trainer.Trainer) -> Any:
        if self.epoch + 1 == number and left:
            left.pop()()
        return run_epoch(self)

    monkeypatch.setattr(trainer.Trainer, "run_epoch", hooked)


def test_a_full_disk_ends_the_run_with_a_sentence(
    disk: SmallDisk, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = disk.path / "runs"
    before_epoch(3, disk.fill, monkeypatch)
    code, _ = command(*RUN, "epochs=4", f"output_dir={output}")
    folder = only_folder(output)
    assert code == f"{folder} failed: {folder} can not be written in epoch 3 (No space left on device)."
    assert_readable(folder, epochs=2)
    code, _ = command(*RUN, "epochs=4", f"output_dir={output}")
    assert "No space left on device" in code
    assert_readable(folder, epochs=2)
    disk.free()
    assert_recovers(command, output, tmp_path, "epochs=4")


def test_rows_that_can_not_be_mended_for_want_of_space_end_the_start_with_a_sentence(
    disk: SmallDisk, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = disk.path / "runs"
    before_epoch(3, disk.fill, monkeypatch)
    command(*RUN, "epochs=4", f"output_dir={output}")
    ledger = only_folder(output) / "decisions.csv"
    ledger.unlink()
    disk.fill()
    code, _ = command(*RUN, "epochs=4", f"output_dir={output}")
    assert code.startswith(f"output_dir={output} can not be written (No space left on device: {ledger.parent}")
    assert len(run_records.read_metrics(ledger.with_name("metrics.csv"))) == 2
    disk.free()
    assert_recovers(command, output, tmp_path, "epochs=4")


def test_a_disk_that_is_full_in_the_middle_of_a_row_leaves_whole_rows(
    disk: SmallDisk, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave the disk no page from the second checkpoint on, so that the first row that outgrows its page is cut off."""
    save, save_epoch = checkpoint.save, run_folder.RunFolder.save_epoch

    def save_and_fill(*arguments: Any) -> None:
        save(*arguments)
        if arguments[-1]["epoch"] > 1:
            disk.fill()

    def save_epoch_and_free(*arguments: Any) -> None:
        save_epoch(*arguments)
        disk.free()

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_and_fill)
        patch.setattr(run_folder.RunFolder, "save_epoch", save_epoch_and_free)
        code, _ = command(*RUN, "epochs=24", f"output_dir={disk.path / 'runs'}")
    folder = only_folder(disk.path / "runs")
    epoch = json.loads((folder / "failure.json").read_text())["epoch"] if (folder / "failure.json").exists() else None
    assert "No space left on device" in code
    done = len(run_records.read_metrics(folder / "metrics.csv"))
    assert 10 < done < 24
    assert epoch in (None, done + 1)  # a full disk may have no room for the reason
    assert_readable(folder, done)
    disk.free()
    assert_recovers(command, disk.path / "runs", tmp_path, "epochs=24")


@pytest.mark.parametrize("name", ["checkpoint.pt.part", "metrics.csv", "decisions.csv", "train.log"])
def test_a_write_that_breaks_off_ends_that_run_alone_and_the_next_start_recovers(
    name: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reach a quota in the middle of the third epoch's write to one of two runs."""
    write_all, calls = files._write_all, [0]

    def quota(file: Any, data: bytes) -> None:
        path = Path(file.name)
        if path.name == name and "seed1" in path.parent.name and data:
            calls[0] += 1
            if calls[0] == 3 + (name == "metrics.csv") + (name == "decisions.csv"):  # these begin with a header
                write_all(file, data[: len(data) // 2])
                raise OSError(errno.EDQUOT, "Disk quota exceeded")
        write_all(file, data)

    sweep = ("-m", "seed=0,1", "epochs=4", "hydra.launcher.workers=1")  # so that they share a stack
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_all", quota)
        code, _ = command(*sweep, *RUN, f"output_dir={tmp_path / 'a'}")
    assert "1 of 2 jobs failed" in code
    assert "can not be written in epoch 3 (Disk quota exceeded)" in code
    [whole] = tmp_path.glob("a/*seed0*")
    [broken] = tmp_path.glob("a/*seed1*")
    assert layout.is_finished(whole)
    assert json.loads((broken / "failure.json").read_text())["epoch"] == 3
    assert_readable(broken, epochs=3 if name in ("decisions.csv", "train.log") else 2)
    assert_recovers(command, tmp_path / "a", tmp_path / "b", *sweep)


def test_a_read_only_disk_is_refused_and_left_alone(
    disk: SmallDisk, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = disk.path / "runs"
    before_epoch(3, disk.fill, monkeypatch)
    command(*RUN, "epochs=3", f"output_dir={output}")
    disk.free()
    before = contents(output)
    disk.remount("ro")
    for seed in ("seed=0", "seed=1"):  # a run that was started, and one that was not
        code, _ = command(*RUN, "epochs=3", seed, f"output_dir={output}")
        assert code.startswith(f"output_dir={output} can not be written (Read-only file system: ")
        assert "\n" not in code
    assert contents(output) == before
    disk.remount("rw")
    assert_recovers(command, output, tmp_path, "epochs=3")


def test_a_folder_deleted_under_a_running_job_ends_it_and_the_next_start_recovers(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "a"
    before_epoch(2, lambda: shutil.rmtree(only_folder(output)), monkeypatch)
    code, _ = command(*RUN, "epochs=3", f"output_dir={output}")
    assert "can not be written in epoch 2 (No such file or directory)" in code
    assert_recovers(command, output, tmp_path / "b", "epochs=3")


def test_a_damaged_checkpoint_stops_its_own_run_alone(command: Command, tmp_path: Path) -> None:
    sweep = ("-m", "seed=range(0,3)", "epochs=2")
    command(*sweep, *RUN, f"output_dir={tmp_path}")
    wanted = contents(tmp_path)
    for summary in tmp_path.glob("*/summary.json"):
        summary.unlink()
    [damaged] = tmp_path.glob("*seed1*/checkpoint.pt")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    code, _ = command(*sweep, *RUN, f"output_dir={tmp_path}")
    assert "1 of 3 jobs failed" in code
    assert f"{damaged} is not a readable checkpoint (BadZipFile): remove {damaged} to start the run anew" in code
    assert len(list(tmp_path.glob("*/summary.json"))) == 2
    damaged.unlink()
    assert not command(*sweep, *RUN, f"output_dir={tmp_path}")[0]
    assert contents(tmp_path) == wanted


def test_a_folder_deleted_and_made_anew_belongs_to_its_new_process(tmp_path: Path) -> None:
    config = composed(*RUN)
    run = run_config(config)
    with run_folder.RunFolder(run, tmp_path, config, None) as first:
        shutil.rmtree(first.path)
        with run_folder.RunFolder(run, tmp_path, config, None) as second:
            second.resume()
            before = contents(tmp_path)
            for write in (lambda: first.save_epoch([], [], {}), lambda: first.fail("too late", 1)):
                with pytest.raises(OSError, match="removed or replaced by another process"):
                    write()
            assert contents(tmp_path) == before


def test_a_folder_that_is_refused_is_not_kept_locked(tmp_path: Path) -> None:
    config = composed(*RUN)
    run = run_config(config)
    with run_folder.RunFolder(run, tmp_path, config, None) as folder:
        stored = folder.path / ".hydra" / "config.yaml"
    whole = stored.read_bytes()
    stored.write_bytes(b"")
    with pytest.raises(UserError, match="does not match its folder") as refused:
        run_folder.RunFolder(run, tmp_path, config, None)
    stored.write_bytes(whole)
    run_folder.RunFolder(run, tmp_path, config, None)
    assert refused.traceback  # which would keep the open file alive
