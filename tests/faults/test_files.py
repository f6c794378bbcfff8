"""Test files that outlive kills, full disks and power cuts, and the limit of open ones."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ONE_THREAD, QUIET, ROOT

from bayes_pruning.config.errors import UserError
from bayes_pruning.runs import files
from bayes_pruning.runs.files import LineFile, write_atomically, write_file


def test_a_new_file_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test the order: after a power cut an unsynced file may be empty, and no test can cut the power."""
    events: list[tuple[str, bytes]] = []
    path = tmp_path / "file"
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        fsync(descriptor)
        events.append(("synced", Path(f"{path}.part").read_bytes()))

    def noted_replace(part: Path, to: Path) -> None:
        events.append(("renamed", part.read_bytes()))
        replace(part, to)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_atomically(path, b"new")
    assert events == [("synced", b"new"), ("renamed", b"new")]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("failing", ["_write_all", "fsync", "replace"])
def test_a_replacement_that_fails_leaves_the_old_file_and_nothing_else(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no more")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(files if failing == "_write_all" else os, failing, fail)
    with pytest.raises(OSError, match="no more"):
        write_atomically(path, b"new")
    with pytest.raises(UserError, match=f"^{path} can not be written"):  # a command's table, archive or report
        write_file(path, "new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]


def test_a_write_that_takes_only_a_part_is_gone_on_with(tmp_path: Path) -> None:
    class Grudging:
        """Take three bytes at a time, as the system may."""

        taken = b""

        def write(self, data: memoryview) -> int:
            self.taken += bytes(data[:3])
            return len(data[:3])

    file: Any = Grudging()
    files._write_all(file, b"0123456789")
    assert file.taken == b"0123456789"


@pytest.mark.parametrize(
    ("written", "kept"),
    [("", ""), ("a\nb\n", "a\nb\n"), ("a\nb\nc\n", "a\nb\n"), ("a\nb", "a\n"), ("a\nx\nb\n", "a\n"), ("b\n", "")],
)
def test_lines_that_are_right_are_never_taken_away_while_others_are_mended(
    written: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that what was right stays if the disk is full, and that else the file is as wanted."""
    path = tmp_path / "lines"
    path.write_text(written)

    def full(*_: object) -> None:
        raise OSError("no space")

    with LineFile(path) as file:
        with monkeypatch.context() as patch:
            patch.setattr(files, "_write_all", full)
            with pytest.raises(OSError, match="no space"):
                file.bring_in_line("a\nb\n")
        assert path.read_text() == kept
        file.bring_in_line("a\nb\n")
    assert path.read_text() == "a\nb\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("b,a\n2,1\n", r"rows\.csv, line 1: the columns are not those of rows\.csv \(a, b\)\.$"),
        ("a,b\n1,2\n3\n", r"rows\.csv, line 3: 1 values where 2 are expected\.$"),
        ("a,b\n1,2,3\n", r"rows\.csv, line 2: 3 values where 2 are expected\.$"),
    ],
)
def test_a_table_that_is_not_as_expected_is_named_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        files.read_table(tmp_path / "rows.csv", ("a", "b"))


def test_a_line_that_ctrl_c_cuts_off_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(file: Any, data: bytes) -> None:
        file.write(data[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_write_all", interrupted)
    path = tmp_path / "lines"
    path.write_text("a\n")
    with LineFile(path) as file, pytest.raises(KeyboardInterrupt):
        file.append("1234\n")
    assert path.read_text() == "a\n"


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
sys.path.insert(0, {root!r})
"""
MOST = "from bayes_pruning.runs.files import most_open_folders as most; print(most(), resource.getrlimit(7)[0])"
TRAIN = "from bayes_pruning.cli import main; main()"


def limited(soft: int, hard: int, program: str, *arguments: str) -> str:
    """Return what a process with these limits of open files prints."""
    code = LIMITED.format(soft=soft, hard=hard, root=str(ROOT)) + program
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, check=True).stdout


def test_a_process_takes_the_open_files_that_the_system_lets_it() -> None:
    assert resource.RLIMIT_NOFILE == 7
    assert limited(100, 500, MOST).split() == ["436", "500"]


@pytest.mark.parametrize(("limit", "most"), [(500, 436), (70, 6), (20, 1), (resource.RLIM_INFINITY, 2**31)])
def test_some_of_the_open_files_are_left_for_others(limit: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert files.most_open_folders() == most


@pytest.mark.slow
def test_more_runs_than_open_files_train_in_turns(tmp_path: Path) -> None:
    runs = ["-m", "dataset=mnist_5k", "model.hidden=[4]", "batch_size=2000", "epochs=1", "pruner=none", *QUIET]
    stack = ["seed=range(0,24)", "hydra.launcher.max_members=24", f"output_dir={tmp_path}"]
    printed = limited(70, 80, TRAIN, *runs, *stack)
    assert "24 finished" in printed
    assert len(list(tmp_path.glob("*/summary.json"))) == 24
