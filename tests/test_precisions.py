"""Runs in two precisions, told apart or not: by hand-made numbers."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import scipy.stats
from compare_precision import compare, markdown
from synthetic import frame, runs

from bayes_pruning.config.errors import UserError

CELLS = [f"mnist fcn {pruner} {sparsity}" for pruner in ("random", "magnitude") for sparsity in (0.5, 0.9)]


def grid(shift: Any, cells: list[str] = CELLS) -> pd.DataFrame:
    """Five seeds a cell whose accuracy is 0.9 and `shift(cell number, seed)`."""
    return frame(
        *(
            runs(cell, seeds=5, epochs=1, test_accuracy=lambda _, seed, i=i: 0.9 + shift(i, seed))
            for i, cell in enumerate(cells)
        )
    )


def test_the_same_numbers_can_not_be_told_apart() -> None:
    judged, _ = compare(grid(lambda i, seed: 0.001 * seed), grid(lambda i, seed: 0.001 * seed))
    assert not any(each.distinguishable for each in judged)
    assert [each.outside for each in judged] == [0, 0]


def test_noise_without_a_mean_can_not_be_told_apart() -> None:
    noise = [0.003, -0.001, -0.002, 0.001, -0.001]
    [before, after], _ = compare(grid(lambda i, seed: 0.0), grid(lambda i, seed: noise[(seed + i) % 5]))
    assert not before.distinguishable
    assert not after.distinguishable
    assert before.mean == pytest.approx(0.0, abs=1e-15)


def test_a_shift_of_every_cell_is_found_in_their_mean_and_in_the_cells() -> None:
    noise = [0.003, -0.001, -0.002, 0.001, -0.001]
    shifted = grid(lambda i, seed: noise[(seed + i) % 5] - 0.01 - i * 1e-4)
    [before, after], _ = compare(grid(lambda i, seed: 0.0), shifted)
    assert before.distinguishable
    assert not after.distinguishable
    assert before.outside == 4
    assert before.mean == pytest.approx(-0.01 - 1.5e-4)
    values = [-0.01 - i * 1e-4 for i in range(4)]
    low, _ = scipy.stats.t.interval(0.95, 3, before.mean, scipy.stats.sem(values))
    assert before.mean - before.half_width == pytest.approx(low)
    assert before.chance == pytest.approx(0.05**4)  # all of four
    assert after.chance == 1
    text = markdown([before, after], 0, every=False)
    assert "Accuracy before pruning: can be told apart" in text
    assert "Accuracy after pruning: can not be told apart" in text
    assert "| mnist, fcn, magnitude, 0.9 | 5 | -1.0" in text


def test_cells_of_only_one_source_are_counted_and_none_in_common_is_an_error() -> None:
    judged, unpaired = compare(grid(lambda i, seed: 0.0), grid(lambda i, seed: 0.0, CELLS[:3]))
    assert unpaired == 1
    assert "1 cells" in markdown(judged, unpaired, every=True)


def test_without_a_test_there_is_no_verdict() -> None:
    """Too few cells, too few seeds in each, or runs of different lengths."""
    whole = grid(lambda i, seed: 0.0)
    with pytest.raises(UserError, match=r"^2 cells have 3 seeds in both sources: "):
        compare(whole, grid(lambda i, seed: 0.0, CELLS[:2]))
    with pytest.raises(UserError, match=r"^0 cells have 3 seeds in both sources: "):
        compare(whole, whole[whole["seed"] < 2])
    with pytest.raises(UserError, match=r"have runs of 1 and 2 epochs: only runs of one length can be compared\.$"):
        compare(whole, frame(*(runs(cell, seeds=5, epochs=2) for cell in CELLS)))
    some = whole[(whole["seed"] < 2) | (whole["pruner"] == "random") | (whole["target_sparsity"] == 0.5)]
    judged, unpaired = compare(whole, some)
    assert (len(judged[0].cells), unpaired) == (3, 1)


def test_the_script_compares_real_runs_with_themselves(script: Any, folder: Path) -> None:
    code, _ = script("compare_precision.py", folder, folder)
    assert code == "0 cells have 3 seeds in both sources: a test takes at least 3."  # they have two


def test_a_missing_source_is_one_sentence(script: Any, folder: Path, tmp_path: Path) -> None:
    code, _ = script("compare_precision.py", folder, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in code
    assert "\n" not in code
