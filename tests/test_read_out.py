"""Every script over logged runs reads them at the epoch asked for, as if they had ended there."""

import argparse

import pytest
from synthetic import call_script, frame, runs

from bayes_pruning.config.errors import UserError
from bayes_pruning.results.selection import read_out, setting
from bayes_pruning.script import add_source_arguments, load_source
from bayes_pruning.studies import table1

script = pytest.fixture(call_script)


def test_a_run_that_is_read_early_is_one_that_ended_then() -> None:
    whole, short = (runs("mnist fcn none", epochs=n, test_accuracy=lambda e, s: 0.1 * e) for n in (8, 5))
    read = read_out(whole, 5)
    [(_, final)] = table1.final_by_seed(read).items()
    assert list(final["test_accuracy"]) == pytest.approx([0.5, 0.5])
    columns = [name for name in whole.columns if name not in ("run", "hash")]
    assert read[columns].reset_index(drop=True).equals(short[columns])
    assert setting(read).endswith(" Read after epoch 5 of 8.")
    assert setting(whole).endswith(" 8 epochs.")
    assert setting(runs("mnist fcn none", epochs=1)).endswith(" 1 epoch.")
    assert read_out(whole, None) is whole


@pytest.mark.parametrize("epoch", [0, 6])
def test_an_epoch_that_a_run_does_not_have_is_named(epoch: int) -> None:
    mixed = frame(runs("mnist fcn none", epochs=8), runs("mnist fcn random 0.5", epochs=5))
    with pytest.raises(UserError, match=f"--epoch {epoch} fits not all runs: they have 5 or 8 epochs"):
        read_out(mixed, epoch)


def test_the_scripts_take_an_epoch(folder, script) -> None:
    parser = argparse.ArgumentParser()
    add_source_arguments(parser)
    last = load_source(parser.parse_args([str(folder)])).frame
    early = load_source(parser.parse_args([str(folder), "--epoch", "1"])).frame
    assert set(early["epoch"]) == set(early["epochs"]) == {1}
    assert len(early) == last["hash"].nunique()
    for name in ("make_table.py", "check_claims.py"):
        code, printed = script(name, folder, "--epoch", "1")
        assert code == 0
        assert printed
    code, _ = script("rank_readings.py", folder, "--epoch", "1")  # of mnist_5k, which the paper has not
    assert code.startswith("None of these runs is of a cell of Table 1")
