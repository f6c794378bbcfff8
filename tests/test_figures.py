import io
import json
import math
import re
import shutil
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import seaborn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image
from synthetic import PROTOCOL, assert_one_sentence_each, frame, runs

from bayes_pruning.config.errors import UserError
from bayes_pruning.figures import catalogue as catalogue_module
from bayes_pruning.figures.catalogue import Plate, catalogue, chosen, render, write
from bayes_pruning.figures.plotting import loss_axis, signed_axis
from bayes_pruning.figures.style import METHOD_LOOKS, OTHER_LOOKS, SPARSITY_LOOKS, STYLES, sparsity_looks
from bayes_pruning.results.cells import Cell
from bayes_pruning.studies import table1

PAPER = STYLES["paper"]
NAMES = [  # the paper's captions, by hand
    "fig04_mnist_fcn_75",
    "fig05_mnist_fcn_random",
    "fig06_mnist_fcn_magnitude",
    "fig07_mnist_cnn_75",
    "fig08_mnist_cnn_random",
    "fig09_mnist_cnn_magnitude",
    "fig10_fashion_mnist_fcn_90",
    "fig11_fashion_mnist_fcn_random",
    "fig12_fashion_mnist_fcn_magnitude",
    "fig13_fashion_mnist_cnn_90",
    "fig14_fashion_mnist_cnn_random",
    "fig15_fashion_mnist_cnn_magnitude",
    "fig16_cifar10_fcn_90",
    "fig17_cifar10_fcn_random",
    "fig18_cifar10_fcn_magnitude",
    "fig19_cifar10_cnn_90",
    "fig20_cifar10_cnn_random",
    "fig21_cifar10_cnn_magnitude",
    "accuracy_by_sparsity",
]


def plate(start, **options):
    [plate] = chosen(catalogue(**options), start)
    return plate


def drawn(start, runs, loss="before"):
    return plate(start).figure(runs, PAPER, loss)


def lines_of(figure, axes):
    """The lines with markers of some axes, by what the figure's legend says of their looks."""
    legend = {each.get_label(): each for each in figure.legends[0].legend_handles}
    named = {each.get_color(): label for label, each in legend.items() if each.get_color() != "#444444"}
    lines = {}
    for line in axes.get_lines():
        if len(line.get_xdata()) and line.get_marker() != "None":
            kind = (
                "paper" if line.get_marker() == "x" else "hollow" if line.get_markerfacecolor() == "white" else "full"
            )
            label = named[line.get_color()]
            assert kind == "paper" or line.get_marker() == legend[label].get_marker()
            lines[label if kind == "full" else f"{label}, {kind}"] = line
    return lines


def bands(axes):
    return [each for each in axes.collections if isinstance(each, PolyCollection) and each.get_paths()]


def title(figure):
    return figure.legends[0].get_title().get_text().replace("\n", " ")


def small_print(figure):
    return re.sub(r"\s+", " ", figure.get_supxlabel())


def learning_frame(**metrics):
    return frame(
        runs("mnist fcn none", train_loss=lambda e, s: 1 / e, test_loss=lambda e, s: e + 2 * s, **metrics),
        runs("mnist fcn bayes_random 0.75", sparsity=0.75, log_bayes_factor=lambda e, s: -e, **metrics),
        runs("mnist fcn bayes_magnitude 0.75", sparsity=0.5, log_bayes_factor=lambda e, s: e, **metrics),
    )


# ---- which figures there are


def test_figures_have_the_papers_numbers_and_names():
    assert [each.name for each in catalogue()] == NAMES


def test_the_small_data_set_stands_in_for_mnist_under_its_own_name():
    names = [each.name for each in catalogue(mnist="mnist_5k")]
    assert names[:3] == ["fig04_mnist_5k_fcn_75", "fig05_mnist_5k_fcn_random", "fig06_mnist_5k_fcn_magnitude"]
    assert names[6:] == NAMES[6:]


def test_only_takes_the_start_of_names():
    assert [each.name for each in chosen(catalogue(), "fig04, accuracy")] == [NAMES[0], NAMES[-1]]
    with pytest.raises(UserError, match=r"^--only=fig99 is not accepted: .*fig04_mnist_fcn_75"):
        chosen(catalogue(), "fig04,fig99")


# ---- learning curves


def test_learning_curves_show_both_losses_of_three_methods_then_factor_and_sparsity_of_two():
    figure = drawn("fig04", learning_frame())
    left, factor, sparsity = figure.axes
    methods = ("baseline", "Bayes random", "Bayes magnitude")
    assert set(lines_of(figure, left)) == {method + kind for method in methods for kind in ("", ", hollow")}
    assert set(lines_of(figure, factor)) == set(lines_of(figure, sparsity)) == {"Bayes random", "Bayes magnitude"}
    training = figure.legends[0].legend_handles[-1]
    assert (training.get_label(), training.get_markerfacecolor()) == ("training loss (of each colour)", "white")
    assert (left.get_ylabel(), left.get_xlabel(), sparsity.get_xlabel()) == ("loss (nats)", "epoch", "epoch")
    assert (factor.get_ylabel(), sparsity.get_ylabel()) == ("log Bayes factor\n(nats)", "sparsity\nafter the epoch")


def test_lines_are_means_over_seeds_and_bands_one_standard_deviation():
    figure = drawn("fig04", learning_frame())
    left, factor, sparsity = (lines_of(figure, axes) for axes in figure.axes)
    baseline = left["baseline"]
    assert list(baseline.get_xdata()) == list(range(1, 9))
    assert list(baseline.get_ydata()) == [epoch + 1 for epoch in range(1, 9)]  # seeds: epoch and epoch + 2
    assert list(left["baseline, hollow"].get_ydata()) == [1 / epoch for epoch in range(1, 9)]
    assert list(factor["Bayes random"].get_ydata()) == [-epoch for epoch in range(1, 9)]
    assert set(sparsity["Bayes random"].get_ydata()) == {0.75}
    first_band = bands(figure.axes[0])[0].get_paths()[0].vertices
    assert first_band[:, 1].min() == pytest.approx(2 - math.sqrt(2))  # two seeds 2 apart: deviation sqrt(2)
    assert first_band[:, 1].max() == pytest.approx(9 + math.sqrt(2))


def test_loss_after_pruning_is_drawn_if_asked_and_said():
    before, after = (drawn("fig04", learning_frame(), loss) for loss in ("before", "after"))
    assert set(lines_of(before, before.axes[0])["Bayes random"].get_ydata()) == {0.5}
    assert set(lines_of(after, after.axes[0])["Bayes random"].get_ydata()) == {0.6}
    assert "Test loss before pruning" in small_print(before)
    assert "Test loss after pruning" in small_print(after)


@pytest.mark.parametrize(("factors", "scale"), [((-1, -50), "linear"), ((-1, -5000), "symlog"), ((0, 0), "linear")])
def test_factors_of_many_magnitudes_get_a_symmetric_logarithmic_axis(factors, scale):
    values = dict(zip(("bayes_random", "bayes_magnitude"), factors, strict=True))
    parts = [runs(f"mnist fcn {name} 0.75", log_bayes_factor=value) for name, value in values.items()]
    axes = drawn("fig04", frame(runs("mnist fcn none"), *parts)).axes[1]
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    assert low <= min(factors) <= max(factors) <= high


@pytest.mark.parametrize(("highest", "scale"), [(1.0, "linear"), (50.0, "log")])
def test_losses_of_many_magnitudes_get_a_logarithmic_axis(highest, scale):
    axes = drawn(
        "fig05", frame(runs("mnist fcn bayes_random 0.25"), runs("mnist fcn bayes_random 0.99", test_loss=highest))
    )
    assert axes.axes[0].get_yscale() == scale


def axis(shape, *values):
    """A y axis that was shaped after these values were drawn."""
    axes = Figure().add_subplot()
    axes.plot(range(len(values)), values, marker="o")
    shape(axes)
    return axes


def test_ticks_of_a_symmetric_logarithmic_axis_are_as_far_from_zero_as_the_values_on_each_side():
    axes = axis(signed_axis, -5000, 7)
    assert sorted(axes.get_yticks()) == [-10_000, -1000, -100, -10, 0, 10]


def test_a_loss_of_zero_or_beyond_all_numbers_has_no_logarithm():
    assert axis(loss_axis, 0.0, 50.0).get_yscale() == "linear"
    assert axis(loss_axis, math.nan, math.inf).get_yscale() == "linear"  # all networks have diverged


# ---- loss by sparsity


def loss_frame(pruner="bayes_random", sparsities=(0.25, 0.5, 0.75, 0.9, 0.99), **options):
    parts = [runs(f"mnist fcn {pruner} {s}", test_loss=1 + s, **options) for s in sparsities]
    return frame(runs("mnist fcn none", test_loss=1.0), *parts)


def test_loss_figures_have_one_line_a_sparsity_and_the_baseline_dashed():
    figure = drawn("fig05", loss_frame())
    [axes] = figure.axes
    lines = lines_of(figure, axes)
    assert list(lines) == ["baseline", "25%", "50%", "75%", "90%", "99%"]
    assert lines["baseline"].get_linestyle() == "--"
    for name, sparsity in (("25%", 0.25), ("99%", 0.99)):
        assert list(lines[name].get_ydata()) == pytest.approx([1 + sparsity] * 8)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(lines)
    assert axes.get_ylabel() == "test loss (nats)"


def test_random_and_magnitude_figures_draw_the_bayes_methods_and_say_so():
    both = frame(loss_frame("bayes_random"), loss_frame("bayes_magnitude", (0.5,), seeds=3).query("pruner != 'none'"))
    for start, method, lines in (("fig05", "Bayes random", 6), ("fig06", "Bayes magnitude", 2)):
        figure = drawn(start, both)
        assert len(lines_of(figure, figure.axes[0])) == lines
        assert method in title(figure)


def test_loss_figures_draw_the_loss_after_pruning_if_asked():
    figure = drawn("fig05", loss_frame(sparsities=(0.5,), pruned_test_loss=0.75), "after")
    assert set(lines_of(figure, figure.axes[0])["50%"].get_ydata()) == {0.75}


def test_classic_runs_are_not_drawn_as_bayes_runs():
    assert not plate("fig05").can_be_drawn(loss_frame("random"))


def test_a_sparsity_that_the_paper_does_not_have_is_drawn_too():
    figure = drawn("fig05", loss_frame(sparsities=(0.25, 0.725)))
    assert list(lines_of(figure, figure.axes[0])) == ["baseline", "25%", "72.5%"]


def test_missing_sparsities_are_named_in_the_small_print():
    figure = drawn("fig05", loss_frame(sparsities=(0.5, 0.9)))
    assert "No runs for: 25%, 75%, 99%." in small_print(figure)
    assert plate("fig05").missing(loss_frame(sparsities=(0.5, 0.9))) == ["25%", "75%", "99%"]


# ---- the small print


def test_small_print_says_seeds_protocol_and_epochs():
    text = small_print(drawn("fig05", loss_frame()))
    assert "Mean of 2 seeds" in text
    assert f"Protocol: {PROTOCOL}. 8 epochs." in text


def test_small_print_counts_seeds_line_by_line_where_they_differ():
    some = frame(runs("mnist fcn none", seeds=3), runs("mnist fcn bayes_random 0.25", seeds=1))
    assert "baseline 3, 25% 1" in small_print(drawn("fig05", some))


def test_one_seed_has_no_band():
    one = frame(runs("mnist fcn none", seeds=1), runs("mnist fcn bayes_random 0.25", seeds=1))
    figure = drawn("fig05", one)
    assert bands(figure.axes[0]) == []
    assert "One seed" in small_print(figure)
    assert len(bands(drawn("fig05", loss_frame()).axes[0])) == 6


@pytest.mark.parametrize("start", ["fig04", "fig05", "accuracy"])
@pytest.mark.parametrize("style", STYLES)
def test_no_text_leaves_the_figure_or_covers_the_small_print(start, style):
    some = frame(learning_frame(), loss_frame(sparsities=(0.25, 0.5)).query("pruner != 'none'"))
    figure = plate(start).figure(some, STYLES[style])
    with STYLES[style].context():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        note, head = (each.get_window_extent(renderer) for each in (figure._supxlabel, figure.legends[0]))
        boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    if style == "column":  # there panels stand below each other
        assert len({axes.get_position().x0 for axes in figure.axes}) == 1
    for text in (note, head):
        assert text.x0 >= 0
        assert text.x1 <= figure.bbox.width
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert note.y1 <= box.y0
        assert box.y1 <= head.y0


def test_two_runs_with_one_seed_are_refused():
    mixed = frame(loss_frame(), runs("mnist fcn bayes_random 0.25", protocol=PROTOCOL.replace("0.5", "1")))
    with pytest.raises(UserError, match=r"both mnist fcn bayes_random 25%, seed 0"):
        drawn("fig05", mixed)
    assert str(Cell("mnist", "fcn", "magnitude", 0.0)) == "mnist fcn magnitude 0%"  # not an unpruned one


# ---- looks


@pytest.mark.parametrize("looks", [METHOD_LOOKS, SPARSITY_LOOKS])
def test_lines_differ_in_colour_line_and_marker_so_that_grey_print_tells_them_apart(looks):
    for field in ("color", "dashes", "marker"):
        assert len({str(getattr(look, field)) for look in looks.values()}) == len(looks)


def test_colours_are_black_and_those_of_the_colour_blind_palette():
    palette = seaborn.color_palette("colorblind").as_hex()
    with PAPER.context():
        used = {to_hex(look.color) for look in [*METHOD_LOOKS.values(), *SPARSITY_LOOKS.values(), *OTHER_LOOKS]}
    assert used <= {"#000000", *palette}
    drawn_ = drawn("fig05", loss_frame()).axes[0].get_lines()
    assert {to_hex(line.get_color()) for line in drawn_} <= {"#000000", *palette}  # also outside of the theme


def test_all_numbered_figures_have_one_size():
    figures = drawn("fig04", learning_frame()), drawn("fig05", loss_frame())
    sizes = {tuple(figure.get_size_inches()) for figure in figures}
    assert len(sizes) == 1


# ---- accuracy against sparsity


def accuracy_frame():
    return frame(
        runs("mnist fcn none", seeds=3, test_accuracy=lambda e, s: 0.9 + 0.02 * s**2),
        runs("mnist fcn bayes_random 0.25", test_accuracy=lambda e, s: e / 10, pruned_test_accuracy=0.7),
        runs("mnist fcn bayes_random 0.9", test_accuracy=0.6, pruned_test_accuracy=0.4),
        runs("mnist cnn magnitude 0.5", test_accuracy=0.95, pruned_test_accuracy=0.94),
    )


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def values(line):
    return [y for y in line.get_ydata() if not math.isnan(y)]


def test_accuracy_has_a_panel_for_each_data_set_and_network_with_runs():
    found = panels(drawn("accuracy", accuracy_frame()))
    assert list(found) == ["MNIST, FCN", "MNIST, CNN"]
    places = [axes.get_subplotspec() for axes in found.values()]
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [(0, 0), (0, 1)]


def test_accuracy_before_and_after_pruning_is_that_of_the_last_epoch():
    figure = drawn("accuracy", accuracy_frame())
    axes = panels(figure)["MNIST, FCN"]
    lines = lines_of(figure, axes)
    assert values(lines["Bayes random"]) == [0.8, 0.6]
    assert values(lines["Bayes random, hollow"]) == pytest.approx([0.7, 0.4])
    [dashed] = [line for line in axes.get_lines() if list(line.get_xdata()) == [0, 1]]
    assert list(dashed.get_ydata()) == pytest.approx([0.9 + 0.1 / 3] * 2)  # the mean of 0.9, 0.92 and 0.98
    assert not {"magnitude", "baseline, hollow"} & {*lines}
    kinds = {each.get_label(): each for each in figure.legends[0].legend_handles}
    assert kinds["after pruning"].get_markerfacecolor() == "white"
    assert kinds["paper, Table 1"].get_marker() == "x"


def test_an_accuracy_stands_at_its_sparsity_and_the_methods_beside_each_other():
    methods = ("random", "Bayes random", "magnitude", "Bayes magnitude")
    cells = [runs(f"mnist fcn {method.replace(' ', '_').lower()} 0.25") for method in methods]
    figure = drawn("accuracy", frame(*cells))
    [axes] = panels(figure).values()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["unpruned", "25%", "50%", "75%", "90%", "99%"]
    places = [lines_of(figure, axes)[method].get_xdata()[0] for method in methods]
    assert sorted([0.5, *places, 1, 1.5]) == [0.5, *places[:2], 1, *places[2:], 1.5]
    assert "Mean of 2 seeds, " in small_print(figure)


def test_upright_lines_are_one_standard_deviation_of_the_accuracies_not_of_what_the_axis_shows():
    figure = drawn("accuracy", frame(runs("mnist fcn random 0.25", test_accuracy=lambda e, s: 0.9 + 0.08 * s)))
    [axes] = panels(figure).values()
    [mean] = values(lines_of(figure, axes)["random"])
    assert mean == pytest.approx(0.94)
    ends = next(
        line.get_ydata() for line in axes.get_lines() if line.get_marker() == "None" and len(set(line.get_ydata())) > 1
    )
    assert list(ends) == pytest.approx([0.94 - 0.04 * math.sqrt(2), 0.94 + 0.04 * math.sqrt(2)])
    assert max(ends) > axes.get_ylim()[1]  # the axis is fitted to the means, of which the paper's highest is 0.9808


def test_the_papers_points_are_drawn_in():
    figure = drawn("accuracy", accuracy_frame())
    lines = lines_of(figure, panels(figure)["MNIST, CNN"])
    assert values(lines["Bayes magnitude, paper"]) == [0.992, 0.9901, 0.9892, 0.9888, 0.9804]
    assert values(lines["baseline, paper"]) == [0.9918]


def test_every_point_is_inside_its_panel():
    figure = drawn("accuracy", accuracy_frame())
    for axes in panels(figure).values():
        low, high = axes.get_ylim()
        everything = np.concatenate([values(line) for line in lines_of(figure, axes).values()])
        assert low < everything.min() < everything.max() < high


def test_data_that_the_paper_does_not_have_gets_no_paper_points():
    some = frame(runs("mnist_5k fcn none"), runs("mnist_5k fcn random 0.5"))
    figure = drawn("accuracy", some)
    [axes] = panels(figure).values()
    assert not any("paper" in label for label in lines_of(figure, axes))


def test_the_accuracy_figure_counts_its_seeds_and_what_is_missing():
    # two pairs x (baseline + 4 methods x 5 sparsities) = 42 points, of which 4 have runs
    assert "No runs for 38 of 42 points." in small_print(drawn("accuracy", accuracy_frame()))
    differ = frame(runs("mnist fcn random 0.5", seeds=3), runs("mnist fcn random 0.25", seeds=1))
    assert "Mean of 1 or 3 seeds, " in small_print(drawn("accuracy", differ))


def test_a_pruner_that_is_not_drawn_is_named_and_a_dollar_sign_begins_no_formula():
    own = frame(accuracy_frame(), runs("mnist a$\\x$b di$turbed 0.5"), runs("mnist a$\\x$b magnitude 0.5"))
    figure = drawn("accuracy", own)
    assert "Not drawn: Di\\$Turbed." in small_print(figure)
    assert "Not drawn" not in small_print(drawn("accuracy", accuracy_frame()))
    assert "MNIST, A\\$\\X\\$B" in panels(figure)
    figure.canvas.draw()  # and text that looks like TeX is no error


def test_a_pruner_that_is_asked_for_no_zeros_stands_at_zero_percent():
    figure = drawn("accuracy", frame(runs("mnist fcn none"), runs("mnist fcn magnitude 0.0", test_accuracy=0.5)))
    [axes] = panels(figure).values()
    assert [tick.get_text() for tick in axes.get_xticklabels()][:3] == ["unpruned", "0%", "25%"]
    assert values(lines_of(figure, axes)["magnitude"]) == [0.5]


@pytest.mark.parametrize("accuracies", [(0.9135, 0.925), (0.51, 0.59), (0.3, 0.99)])
def test_the_axis_of_accuracies_has_numbers_wherever_they_are(accuracies):
    low, high = accuracies
    pruned = runs("mnist_5k fcn random 0.5", test_accuracy=high, pruned_test_accuracy=high)
    some = frame(runs("mnist_5k fcn none", test_accuracy=low), pruned)
    figure = drawn("accuracy", some)
    figure.canvas.draw()
    [axes] = panels(figure).values()
    bottom, top = axes.get_ylim()
    assert len([tick for tick in axes.get_yticks() if bottom <= tick <= top]) >= 2


def test_twenty_other_sparsities_have_looks_of_their_own():
    looks = sparsity_looks([i / 100 for i in range(1, 21)])
    assert len({(look.color, str(look.dashes), look.marker) for look in looks.values()}) == len(looks) == 25
    assert sparsity_looks([0.25, 0.3])[0.25] == SPARSITY_LOOKS[0.25]  # whatever else is drawn


def test_the_table_and_the_accuracy_figure_agree(real):
    figure = drawn("accuracy", real)
    [axes] = panels(figure).values()
    by_table = [
        cell.ours.mean
        for (*_, method, _), cell in table1.cells(real, table1.AFTER).items()
        if method == "magnitude" and cell.ours is not None
    ]
    assert len(by_table) == 2
    assert values(lines_of(figure, axes)["magnitude, hollow"]) == pytest.approx(by_table, rel=1e-12)


# ---- words for who can not see


def test_alt_text_has_the_last_losses_and_what_is_missing():
    text = plate("fig05").alt_text(loss_frame(sparsities=(0.5,)))
    assert "Bayes random" in text
    assert "baseline 1.000, 50% 1.500" in text
    assert "No runs for 25%, 75%, 90%, 99%." in text
    text = plate("fig04").alt_text(learning_frame())
    assert "baseline 9.000" in text  # epoch 8, seeds 8 and 10
    assert plate("fig04").alt_text(learning_frame().iloc[::-1]) == text


# ---- files


@pytest.mark.slow
def test_what_draws_nothing_does_not_wait_for_seaborn():
    modules = "bayes_pruning.studies.publication, bayes_pruning.studies.report, sys"
    command = [sys.executable, "-c", f"import {modules}; print('seaborn' in sys.modules)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


@pytest.mark.slow
def test_pdf_is_vector_with_embedded_fonts_and_the_same_each_time():
    first, second = (render(drawn("fig05", loss_frame()), PAPER, "pdf") for _ in range(2))
    assert first == second
    assert first.startswith(b"%PDF")
    assert b"/FontFile2" in first  # TrueType, embedded
    assert b"/Type3" not in first
    assert b"/Subtype /Image" not in first


def test_svg_is_the_same_each_time_whatever_the_users_matplotlib_settings(monkeypatch):
    wanted = render(drawn("fig05", loss_frame()), PAPER, "svg")
    assert b"date" not in wanted
    monkeypatch.setitem(mpl.rcParams, "lines.linewidth", 9.0)
    monkeypatch.setitem(mpl.rcParams, "font.size", 30.0)
    monkeypatch.setitem(mpl.rcParams, "xtick.direction", "in")
    monkeypatch.setitem(mpl.rcParams, "lines.dash_capstyle", "round")  # which no theme sets
    assert render(drawn("fig05", loss_frame()), PAPER, "svg") == wanted


def test_drawing_leaves_the_frame_and_the_settings_alone():
    some, settings = loss_frame(), dict(mpl.rcParams)
    copy = some.copy()
    drawn("fig05", some)
    assert some.equals(copy)
    assert dict(mpl.rcParams) == settings


def assert_not_blank(data):
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 20


@pytest.mark.slow
def test_script_writes_what_the_runs_allow_and_names_the_rest(script, folder, tmp_path):
    code, printed = script("make_figures.py", folder, "--mnist", "mnist_5k", "--out", tmp_path)
    assert code == 0
    allowed = ["fig05_mnist_5k_fcn_random", "fig06_mnist_5k_fcn_magnitude", "accuracy_by_sparsity"]
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{kind}" for name in allowed for kind in ("pdf", "png")
    }
    for name in allowed:
        assert_not_blank((tmp_path / f"{name}.png").read_bytes())
        assert (tmp_path / f"{name}.pdf").stat().st_size > 5000
    skipped = {line.removeprefix("skipped, no runs: ") for line in printed.splitlines() if line.startswith("skipped")}
    names = [name.replace("mnist_", "mnist_5k_") for name in NAMES[:6]] + NAMES[6:]
    assert skipped == set(names) - set(allowed)
    assert "fig05_mnist_5k_fcn_random.png (no runs for 25%, 75%, 99%)" in printed


def test_script_formats_style_and_only(script, folder, tmp_path):
    code, _ = script(
        "make_figures.py", folder, "--mnist", "mnist_5k", "--only", "fig05", "--format", "png", "--style", "talk",
        "--out", tmp_path,
    )  # fmt: skip
    assert code == 0
    [path] = tmp_path.iterdir()
    assert path.name == "fig05_mnist_5k_fcn_random.png"
    assert Image.open(path).width == 200 * STYLES["talk"].width


def test_script_refuses_what_it_does_not_know(script, folder, tmp_path):
    code, _ = script("make_figures.py", folder, "--format", "bmp", "--out", tmp_path / "out")
    assert code.startswith("--format=bmp is not accepted")
    code, _ = script("make_figures.py", folder, "--only", "fig3", "--out", tmp_path / "out")
    assert code.startswith("--only=fig3 is not accepted")
    assert not (tmp_path / "out").exists()


def test_script_says_in_a_sentence_that_no_figure_can_be_drawn(script, folder, tmp_path):
    code, _ = script("make_figures.py", folder, "--only", "fig16", "--out", tmp_path / "out")
    assert code.startswith("There are no runs for fig16_cifar10_fcn_90: the runs are of mnist_5k fcn bayes_magnitude,")
    baseline = next(folder.glob("*none-seed0*"))
    code, _ = script("make_figures.py", baseline, "--out", tmp_path / "out")
    assert code.startswith("There are no runs for any of")
    assert "\n" not in code


def test_script_draws_one_run(script, folder, tmp_path):
    one = next(folder.glob("*bayes_magnitude-0.9-seed0*"))
    code, printed = script(
        "make_figures.py", one, "--mnist", "mnist_5k", "--only", "fig06", "--format", "png", "--out", tmp_path
    )
    assert code == 0
    assert "(no runs for baseline, 25%, 50%, 75%, 99%)" in printed


def test_script_on_nothing(script, tmp_path):
    assert_one_sentence_each(script, "make_figures.py", tmp_path, "--out", tmp_path / "out")


def test_script_refuses_to_mix_two_protocols(script, folder, tmp_path):
    both = tmp_path / "runs"
    shutil.copytree(folder, both)
    run = next(both.glob("*bayes_random-0.5-seed0*"))
    other = shutil.copytree(run, both / "other")
    summary = json.loads((other / "summary.json").read_text())
    summary["protocol"]["beta"], summary["hash"] = 2.0, "0000000000"
    (other / "summary.json").write_text(json.dumps(summary))
    code, _ = script("make_figures.py", both, "--out", tmp_path / "out")
    assert code.startswith("The runs follow 2 protocols")
    assert "\n" not in code


def test_the_loss_that_is_asked_for_is_drawn_and_six_missing_runs_are_named(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Plate, "figure", lambda _, frame, style, loss="before": asked.append(loss))
    monkeypatch.setattr(catalogue_module, "render", lambda *_: b"")
    [said] = write(accuracy_frame(), chosen(catalogue(), "accuracy"), tmp_path, "png", PAPER, "after")
    assert asked == ["after"]
    assert re.search(r"accuracy_by_sparsity\.png \(no runs for ([^,]+%, ){5}[^,]+% and 32 more\)$", said)  # 38 of 42


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/fig05_mnist_fcn_random\.png can not be written"):
        write(loss_frame(), chosen(catalogue(), "fig05"), tmp_path / "file", "png", PAPER, "before")
