"""What a person sees while runs train, and how far a grid is."""

import io
import re
import sys
from dataclasses import replace

import pytest
from conftest import composed
from test_tracking import metrics

from bayes_pruning.config.schema import run_config
from bayes_pruning.runs.progress import Display, bar
from bayes_pruning.training.metrics import Metrics


def test_a_bar_is_a_name_and_as_many_signs_as_is_done() -> None:
    assert bar("mnist fcn", 1, 2) == "mnist fcn" + " " * 15 + "#" * 15 + "." * 15 + "  50%"


class Terminal(io.StringIO):
    """Standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stderr", "style"), [(Terminal, "bar"), (io.StringIO, "lines")])
def test_auto_is_a_bar_where_standard_error_is_a_terminal(
    stderr: type[io.StringIO], style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stderr())
    assert Display("auto", total=1).style == style


def test_where_no_progress_is_asked_for_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display("none", total=1)
    display.say("a line")
    display.epoch([run_config(composed("epochs=10"))], [metrics(1)])
    display.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("workers", "who"), [(2, "2 workers"), (1, "stack 3/4")])
def test_a_terminal_shows_one_bar_with_workers_epochs_time_left_and_the_latest_accuracies(
    workers: int, who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    display = Display("bar", total=40, done=20, workers=workers)
    for title, epoch in (("stack 4/4", 1), ("stack 3/4", 2)):
        display.title = title
        display.epoch([run_config(composed("epochs=10"))] * 2, [metrics(epoch), metrics(epoch)])
    shown = str(display.bar)
    display.close()
    assert capsys.readouterr().err.count("\n") == 1  # one bar, whoever reports
    before, after = metrics(2).test_accuracy, metrics(2).pruned_test_accuracy
    assert shown.startswith(f"{who}:  60%|")
    assert re.search(r"24/40 \[\d\d:\d\d<(\d\d:\d\d|\?)", shown)
    assert f"accuracy {before:.4f} -> {after:.4f}" in shown


def test_a_line_beside_the_bar_is_where_the_bar_is(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display("bar", total=1)
    display.say("a line")
    display.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "a line\n" in err


def test_without_a_terminal_each_epoch_of_a_stack_is_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 of 40 epochs were done before; the first four here took a minute, so the 16 that are left take four."""
    now = iter([100.0, 160.0])
    monkeypatch.setattr("bayes_pruning.runs.progress.time.monotonic", lambda: next(now))
    runs, rows = [run_config(composed("epochs=10"))] * 4, [metrics(2)] * 3 + [None]
    display = Display("lines", total=40, done=20)
    display.title = "stack 3/4"
    display.epoch(runs, rows)
    line = capsys.readouterr().out
    assert line.startswith("stack 3/4  epoch 2/10 of 4 runs  train loss ")
    row = metrics(2)
    assert f"accuracy {row.test_accuracy:.4f} -> {row.pruned_test_accuracy:.4f}, " in line
    assert line.endswith(f"gate open {3 * row.pruned}/3  4:00 left\n")


def test_no_time_left_is_negative(capsys: pytest.CaptureFixture[str]) -> None:
    """More epochs than were counted: a resumed sweep went back to older checkpoints than its rows."""
    display = Display("lines", total=20, done=18)
    display.epoch([run_config(composed("epochs=10"))] * 4, [metrics(1)] * 4)
    assert capsys.readouterr().out.endswith("  0:00 left\n")


def test_each_number_of_a_line_is_the_one_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run that trains alone, and the means of two."""
    run, row = (
        run_config(composed("epochs=10")),
        Metrics(3, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1, -1, -2, -3, -4, -8, 9),
    )
    Display("lines", total=10).epoch([run], [row])
    assert capsys.readouterr().out == (
        f"{run.label()}  epoch 3/10  train loss 0.1000  test loss 0.2000  accuracy 0.3000  "
        "pruned: accuracy 0.5000, sparsity 0.7000, log BF -8.0  9.0 s\n"
    )
    Display("lines", total=20).epoch([run] * 2, [row, replace(row, train_loss=0.3, sparsity=0.9, pruned=0)])
    said = "train loss 0.200, test loss 0.200, accuracy 0.3000 -> 0.5000, sparsity 0.800, gate open 1/2"
    assert said in capsys.readouterr().out
