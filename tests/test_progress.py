"""What a person sees while runs train, and how far a grid is."""

import re

import pytest
from conftest import composed
from test_tracking import metrics

from bayes_pruning.config.schema import run_config
from bayes_pruning.runs.progress import Display, bar


def test_a_bar_is_a_name_and_as_many_signs_as_is_done() -> None:
    assert bar("mnist fcn", 1, 2) == "mnist fcn" + " " * 15 + "#" * 15 + "." * 15 + "  50%"


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
