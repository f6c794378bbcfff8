"""Frames made by hand, as results.frame would give them, for tests of what is drawn and claimed from frames."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bayes_pruning.results.declared import Declared, by_name

ROOT = Path(__file__).resolve().parents[1]


def script_path(name: str) -> Path:
    """The file of a command of scripts/, or of a measurement of benchmarks/."""
    [path] = [path for folder in ("scripts", "benchmarks") if (path := ROOT / folder / name).is_file()]
    return path


PROTOCOL = "regrow, previous, sum/sum, beta 0.5, prior N(0, 1^2)"
PLAIN = {
    "train_loss": 0.5,
    "test_loss": 0.5,
    "test_accuracy": 0.9,
    "pruned_test_loss": 0.6,
    "pruned_test_accuracy": 0.8,
    "sparsity_before": 0.0,
    "sparsity": 0.0,
    "pruned": 1,
    "log_likelihood_before": -10.0,
    "log_prior_before": -20.0,
    "log_likelihood": -11.0,
    "log_prior": -19.0,
    "log_bayes_factor": 0.0,
    "seconds": 1.0,
}


def runs(cell: str, seeds: int = 2, epochs: int = 8, protocol: str = PROTOCOL, **metrics: Any) -> pd.DataFrame:
    """Runs of one cell that differ in their seed.

    Args:
        cell: dataset, model, pruner and (unless it is none) sparsity, e.g. "mnist fcn bayes_random 0.75".
        seeds: how many, from 0.
        epochs: how long.
        protocol: as in the frame.
        metrics: a number, or a function (epoch, seed) -> number, for each metric that is not as in PLAIN.
    """
    dataset, model, pruner, *sparsity = cell.split()
    declares = by_name().get(pruner, Declared())
    rows = []
    for seed in range(seeds):
        name = f"{cell.replace(' ', '-')}-seed{seed}-{protocol}-{epochs}"
        for epoch in range(1, epochs + 1):
            values = {key: f(epoch, seed) if callable(f) else f for key, f in (PLAIN | metrics).items()}
            rows.append(
                {
                    "run": name,
                    "hash": name,
                    "dataset": dataset,
                    "model": model,
                    "pruner": pruner,
                    "target_sparsity": float(sparsity[0]) if sparsity else 0.0,
                    "seed": seed,
                    "protocol": protocol,
                    "epochs": epochs,
                    "twin": declares.twin,
                    "reads": declares.reads,
                    "settings": "{}",
                    "epoch": epoch,
                    **values,
                }
            )
    return pd.DataFrame(rows)


def frame(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)


def call_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str]]:
    """A function that runs a file of scripts/ or benchmarks/: what it exits with (0: fine), and what it printed."""

    def call(name: str, *arguments: Any) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.syspath_prepend(str(script_path(name).parent))  # as Python does for a script
        code: Any = 0
        try:
            runpy.run_path(str(script_path(name)), run_name="__main__")
        except SystemExit as error:
            code = error.code
        return code, capsys.readouterr().out

    return call


def assert_one_sentence_each(call: Callable[..., tuple[Any, str]], name: str, folder: Path, *more: Any) -> None:
    """A missing path and an empty folder each end a script in one sentence that names the path."""
    empty = folder / "empty"
    empty.mkdir()
    for path in (folder / "nowhere", empty):
        code, printed = call(name, path, *more)
        assert isinstance(code, str)
        assert code.startswith(str(path))
        assert "\n" not in code
        assert printed == ""
