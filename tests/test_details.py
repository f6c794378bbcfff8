"""Details of training beside the default: numbers by hand, and that the experiment names each of its settings."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from omegaconf import OmegaConf
from synthetic import frame, runs

from bayes_pruning.studies import details
from bayes_pruning.studies.likelihood import Cells, log_likelihood

PAPER = {"none": 0.8733, "random 0.99": 0.8076}  # Fashion-MNIST, FCN


def cell(model: str, what: str, offset: float, seeds: int = 1, **more: str) -> pd.DataFrame:
    """Runs whose accuracy is the paper's plus `offset`, seeds 0.002 apart."""
    return runs(
        f"fashion_mnist {model} {what}", seeds, test_accuracy=lambda e, s: PAPER[what] + offset + 0.002 * s, **more
    )


@pytest.fixture
def found() -> pd.DataFrame:
    return frame(
        cell("fcn", "none", 0.02, 2),
        cell("fcn", "random 0.99", 0.02),
        cell("fcn_tanh", "none", 0.003),
        cell("fcn_tanh", "random 0.99", -0.004),
        cell("fcn_softmax", "none", 0.05),
    )


BASE = frame(cell("fcn", "none", 0.02, 5), cell("fcn", "random 0.99", 0.02, 5))


def test_the_experiment_gives_each_setting_a_name_of_its_own() -> None:
    """So that folders and tables tell the runs apart; masks that are kept are told by the protocol."""
    hydra = OmegaConf.load(ROOT / "conf" / "experiment" / "details.yaml").hydra
    cells = ("model.name", "pruner", "sparsity", "protocol")
    named = {
        (grid["model.name"], tuple((key, str(value)) for key, value in grid.items() if key not in cells))
        for grid in hydra.sweeper.grids
    }
    names, settings = zip(*named, strict=True)
    assert len(named) == len(set(names)) == len(set(settings)) == 14


def test_distances_by_hand(found: pd.DataFrame) -> None:
    near, far = details.compare(found, BASE).itertuples()
    assert (near.detail, far.detail) == ("tanh", "softmax")
    tanh, softmax = details.compare(found, BASE)[list(details.SHOWN["fcn"].values())].itertuples(index=False, name=None)
    missing = float("nan")
    assert tanh == pytest.approx((0.003, missing, missing, -0.004, missing, missing), nan_ok=True)
    assert softmax == pytest.approx((0.05, *[missing] * 5), nan_ok=True)  # over the cells that it has
    assert near.rms == pytest.approx(np.sqrt((0.003**2 + 0.004**2) / 2))
    assert near.default_rms == pytest.approx(0.02)  # of the seed that both have
    assert near.nearer > 0 > far.nearer
    assert near.seeds == 1


def test_nats_by_hand() -> None:
    """Two seeds 0.002 apart, of five of the default whose variance is 1e-5."""
    [row] = details.compare(frame(cell("fcn", "none", 0.02, 2), cell("fcn_tanh", "none", 0.003, 2)), BASE).itertuples()
    ours, default = (Cells(np.array([off]), np.array([1e-5]), np.array([1e-5 / 2])) for off in (0.004, 0.021))
    assert row.nearer == pytest.approx(log_likelihood(ours) - log_likelihood(default))


def test_a_cell_with_few_seeds_takes_the_median_variance_of_its_data_set() -> None:
    gaps = {"none": 0.001, "random 0.25": 0.002, "random 0.5": 0.004}
    parts = [
        runs(f"mnist fcn {what}", 3, test_accuracy=lambda e, s, gap=gap: 0.8 + gap * s) for what, gap in gaps.items()
    ]
    few = runs("mnist fcn random 0.99", 2, test_accuracy=lambda e, s: 0.8 - 0.5 * s)
    found = details._reference(frame(*parts, few), "fcn", 0).query("dataset == 'mnist'").set_index("title")["variance"]
    assert [*found[["Unpruned", "Random 25%", "Random 50%", "Random 99%"]]] == pytest.approx([1e-6, 4e-6, 16e-6, 4e-6])


def test_all_data_sets_together_are_ordered_by_the_lower_of_the_two_epochs() -> None:
    nats = {"nearer_before": [5.0, 1.0, 0.5], "nearer": [-9.0, 2.0, 0.5], "seeds": [1, 2, 1]}
    where = {"detail": ["early", "both", "both"], "dataset": ["mnist", "mnist", "cifar10"]}
    lines = details.together(pd.DataFrame({**where, **nats})).splitlines()
    assert lines[0] == "| Detail | MNIST | CIFAR-10 | Together |"
    assert lines[2] == "| both | +1.0 / +2.0 (2) | +0.5 / +0.5 (1) | +1.5 / +2.5 |"
    assert lines[3] == "| early | +5.0 / -9.0 (1) |  | +5.0 / -9.0 |"


def test_masks_that_are_kept_are_a_detail_of_their_own(found: pd.DataFrame) -> None:
    """Of a network that is not pruned they are none, whatever its protocol says."""
    protocol = "stay zero, previous, sum/sum, beta 0.5, prior N(0, 1^2)"
    wide = [cell("fcn_wide", what, 0.01, protocol=protocol) for what in PAPER]
    compared = details.compare(frame(found, *wide), BASE)
    assert {"wide", "wide kept"} < set(compared["detail"])


def test_another_ratio_is_no_detail(found: pd.DataFrame) -> None:
    of_logs = cell(
        "fcn_odd", "random 0.99", 0.01, protocol="regrow, previous, sum/sum of_logs, beta 0.5, prior N(0, 1^2)"
    )
    pd.testing.assert_frame_equal(details.compare(frame(found, of_logs), BASE), details.compare(found, BASE))


def test_each_network_has_its_own_default_and_cells(found: pd.DataFrame) -> None:
    """A detail of the CNN says nothing of the fully connected network, nor the other way round."""
    cnn = [
        runs(f"fashion_mnist {model} {what}", 3, test_accuracy=lambda e, s, o=offset, v=value: v + o + 0.002 * s)
        for model, offset in (("cnn", 0.02), ("cnn_tanh", 0.003))
        for what, value in (("none", 0.9028), ("bayes_random 0.99", 0.7083))
    ]
    both = frame(found, *cnn)
    pd.testing.assert_frame_equal(details.compare(both, BASE), details.compare(found, BASE))
    [tanh] = details.compare(both, both, "cnn").to_dict("records")
    assert (tanh["Unpruned"], tanh["Bayes Random 99%"]) == pytest.approx((0.005, 0.005))
    assert np.isnan(tanh["Random 25%"])  # it may have run, and did not
    assert tanh["nearer"] > 0


def test_the_table_has_a_line_for_each(found: pd.DataFrame) -> None:
    compared = details.compare(found, BASE).assign(nearer_before=1, nearer=2, least=-3, most=4)
    text = details.markdown(compared)
    assert "| +0.0000 |" in details.markdown(compared.assign(Unpruned=-1e-9))
    assert "Fashion-MNIST:" in text
    assert "| Detail | Seeds | Unpruned | Random 99% | Distance |" in text  # the cells that ran
    assert "| tanh | 1 | +0.0030 | -0.0040 | 0.0035 (0.0200) | +1.0 / +2.0 | -3.0 to +4.0 |" in text
    assert "| softmax | 1 | +0.0500 |  |" in text
    assert text.index("tanh") < text.index("softmax")


def test_details_are_ordered_by_what_they_gain_on_the_default_in_their_own_cells() -> None:
    """One is as far off as the default, the other further, but less far than the default is there."""
    default = cell("fcn", "none", 0.02), cell("fcn", "random 0.99", 0.05)
    compared = details.compare(frame(*default, cell("fcn_a", "none", 0.02), cell("fcn_b", "random 0.99", 0.03)), BASE)
    assert list(compared["detail"]) == ["b", "a"]
    assert list(compared["rms"]) == pytest.approx([0.03, 0.02])


def test_a_detail_is_judged_at_two_epochs_and_without_each_cell(found: pd.DataFrame) -> None:
    """One that is nearer in one cell alone, and one that is nearer at the last epoch alone."""
    late = runs(
        "fashion_mnist fcn_late none",
        1,
        test_accuracy=lambda e, s: PAPER["none"] + (0.001 if e == 3 else 0.06),
        epochs=3,
    )
    mixed = frame(found, cell("fcn_mixed", "none", 0.001), cell("fcn_mixed", "random 0.99", 0.06), late)
    rows = details.compare(mixed, BASE).set_index("detail")
    assert rows.loc["mixed", "least"] < 0 < rows.loc["mixed", "most"]
    assert rows.loc["late", "nearer_before"] < 0 < rows.loc["late", "nearer"]
    assert rows.loc["late", "least"] == rows.loc["late", "nearer"]  # of one cell none can be left out
    assert rows.loc["tanh", "nearer_before"] == pytest.approx(rows.loc["tanh", "nearer"])


def test_the_nats_of_several_data_sets_are_added(found: pd.DataFrame) -> None:
    mnist = [
        runs(f"mnist {model} none", 5, test_accuracy=lambda e, s, o=offset: 0.9782 + o + 0.002 * s)
        for model, offset in (("fcn", 0.02), ("fcn_tanh", 0.05))
    ]
    compared = details.compare(frame(found, *mnist), frame(BASE, mnist[0]))
    nearer = compared[compared["detail"] == "tanh"]["nearer"]
    assert len(nearer) == 2
    assert f"(1) | {nearer.sum():+.1f} / {nearer.sum():+.1f} |\n" in details.markdown(compared)
    assert "together" not in details.markdown(details.compare(found, BASE))
