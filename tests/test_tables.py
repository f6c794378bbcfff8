import csv
import io
import itertools
import math
import random
import re
import runpy
import statistics
import subprocess
import sys

import pandas as pd
import pytest
import scipy.stats
from fixtures import raw_rows, rewrite_summary, unpack
from synthetic import script_path

from bayes_pruning.results import tables
from bayes_pruning.results.frame import load
from bayes_pruning.results.paper import DATASETS, paper_values, percent, rank
from bayes_pruning.results.selection import choose
from bayes_pruning.results.statistics import paired_difference, summarise
from bayes_pruning.studies import formats, table1
from bayes_pruning.studies.formats import FORMATS, csv_text, latex, markdown, row_markdown, seed_counts, seeds_markdown

METHODS = ("random", "bayes_random", "magnitude", "bayes_magnitude")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The fixture's runs; do not write to them."""
    return unpack(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def frame(runs):
    return choose(load(runs).frame)


@pytest.fixture(scope="module")
def as_mnist(frame):
    """The fixture's runs as if they were of the paper's MNIST."""
    return frame.assign(dataset="mnist")


@pytest.fixture
def own_runs(tmp_path):
    return unpack(tmp_path / "runs")


def last_values(runs, pruner, sparsity, column):
    """By hand: what a column of metrics.csv says in the last epoch, seed 0 then seed 1."""
    middle = f"{pruner}-{sparsity}" if sparsity else pruner
    folders = [next(runs.glob(f"mnist_5k-fcn-{middle}-seed{seed}-*")) for seed in (0, 1)]
    return [float(raw_rows(folder)[-1][column]) for folder in folders]


def cells(frame, accuracy):
    """The cells of a frame of one data set and network, by method and sparsity."""
    return {key[2:]: cell for key, cell in table1.cells(frame, accuracy).items()}


# ---- statistics


def test_summary_by_hand():
    found = summarise([1, 2, 3, 4])
    assert (found.n, found.mean) == (4, 2.5)
    assert found.sd == pytest.approx(math.sqrt(5 / 3), rel=1e-15)
    assert summarise([]) is None
    assert math.isnan(summarise([7.0]).sd)


def test_paired_interval_is_that_of_the_paired_t_test():
    draw = random.Random(1)
    first, second = ({seed: draw.random() for seed in range(5)} for _ in range(2))
    test = scipy.stats.ttest_rel(list(first.values()), list(second.values()))
    expected = test.confidence_interval(0.95)
    found = paired_difference(pd.Series(first), pd.Series(second))
    assert found.n == 5
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_pairs_are_matched_by_seed_and_only_shared_seeds_count():
    found = paired_difference(pd.Series({2: 0.9, 0: 0.5, 7: 0.1}), pd.Series({0: 0.3, 2: 0.5, 8: 0.2}))
    assert found.n == 2
    assert found.mean == pytest.approx(0.3)  # (0.2 + 0.4) / 2
    assert math.isnan(found.low)  # no interval of two
    assert paired_difference(pd.Series({0: 1.0}), pd.Series({1: 1.0})) is None
    assert math.isnan(paired_difference(pd.Series({0: 1.0}), pd.Series({0: 0.5})).low)


# ---- the table's numbers, by hand from the raw rows


@pytest.mark.parametrize(
    ("accuracy", "column", "measured"),
    [
        (table1.BEFORE, "test_accuracy", "sparsity_before"),
        (table1.AFTER, "pruned_test_accuracy", "sparsity"),
    ],
)
def test_every_cell_is_mean_sd_and_n_of_the_last_epoch(runs, frame, accuracy, column, measured):
    found = cells(frame, accuracy)
    assert set(found) == {("none", 0.0)} | {(method, sparsity) for method in METHODS for sparsity in (0.5, 0.9)}
    for (pruner, sparsity), cell in found.items():
        a, b = last_values(runs, pruner, sparsity, column)
        zeros = last_values(runs, pruner, sparsity, measured)
        assert cell.ours.n == 2
        assert cell.ours.mean == pytest.approx((a + b) / 2, rel=1e-14)
        assert cell.ours.sd == pytest.approx(abs(a - b) / math.sqrt(2), abs=1e-14)
        assert cell.sparsity == pytest.approx(sum(zeros) / 2, rel=1e-14)
        assert cell.paper is cell.difference is None


def test_comparison_is_the_paired_difference_to_the_twin(runs, frame):
    found = table1.compare(frame, table1.twins(frame))
    assert [(sparsity, method, twin) for (_, _, method, sparsity), twin in found] == [
        (sparsity, f"bayes_{twin}", twin) for sparsity in (0.5, 0.9) for twin in ("random", "magnitude")
    ]
    for ((_, _, method, sparsity), twin), differences in found.items():
        for when, column in (("before", "test_accuracy"), ("after", "pruned_test_accuracy")):
            bayes = last_values(runs, method, sparsity, column)
            classic = last_values(runs, twin, sparsity, column)
            d0, d1 = (one - other for one, other in zip(bayes, classic, strict=True))
            difference = differences[when]
            assert difference.n == 2
            assert difference.mean == pytest.approx((d0 + d1) / 2, abs=1e-14)
            assert math.isnan(difference.low)  # no interval of two
            assert math.isnan(difference.high)


def test_paper_table_is_complete_and_as_printed():
    paper = paper_values()
    assert len(paper) == 126
    assert paper["mnist", "fcn", "none", 0.0] == 0.9782
    assert paper["mnist", "fcn", "bayes_magnitude", 0.75] == 0.9812
    assert paper["mnist", "cnn", "random", 0.99] == 0.1135
    assert paper["fashion_mnist", "cnn", "bayes_random", 0.25] == 0.9030
    assert paper["cifar10", "cnn", "bayes_magnitude", 0.99] == 0.5537


def test_rows_are_those_of_the_paper_with_its_values_and_our_difference(as_mnist):
    found = table1.cells(as_mnist, table1.BEFORE)
    assert list(found) == [
        (dataset, model, method, sparsity)
        for dataset in ("mnist", "fashion_mnist", "cifar10")
        for model in ("fcn", "cnn")
        for method, sparsity in [("none", 0.0), *((m, s) for s in (0.25, 0.5, 0.75, 0.9, 0.99) for m in METHODS)]
    ]
    cell = found["mnist", "fcn", "magnitude", 0.5]
    assert cell.paper == 0.9791
    assert cell.difference == pytest.approx(cell.ours.mean - 0.9791)
    assert found["mnist", "fcn", "none", 0.0].paper == 0.9782


def test_missing_runs_are_missing_not_filled_in(frame):
    gone = (frame["pruner"] == "magnitude") & (frame["target_sparsity"] == 0.9)
    gone |= (frame["pruner"] == "bayes_random") & (frame["target_sparsity"] == 0.5) & (frame["seed"] == 1)
    less = frame[~gone]
    found = cells(less, table1.BEFORE)
    assert found["magnitude", 0.9].ours is found["magnitude", 0.9].sparsity is None
    assert found["bayes_random", 0.5].ours.n == 1
    compared = {key[2:]: by["after"] for (key, _), by in table1.compare(less, table1.twins(less)).items()}
    assert compared["bayes_magnitude", 0.9] is None
    assert compared["bayes_random", 0.5].n == 1
    text = markdown(less, True)
    assert text.count("| missing |") == 4  # the cell before and after pruning, and its comparison before and after
    assert re.search(r"\| 0\.\d{4} ± n/a \(1\)<br>zeros", text)
    assert re.search(r"\| [+-]0\.\d{4} \(1\)<br>no interval \|", text)


def test_a_bayes_method_minus_its_control_has_a_table_of_its_own_where_the_control_was_run(frame):
    control = frame[frame["pruner"] == "random"].assign(pruner="matched_random")
    without, with_it = (formats.sheets(runs, compared=True) for runs in (frame, pd.concat([frame, control])))
    assert [sheet.key for sheet in with_it] == [*(sheet.key for sheet in without), "controls"]
    twin, controls = (next(sheet for sheet in with_it if sheet.key == key) for key in ("comparison", "controls"))
    assert controls.title.startswith("Each Bayes method minus its controls, which ask for no evidence (")
    assert [(*cells[:4], cells[5]) for cells in twin.rows] == [tuple(cells) for cells in controls.rows]


def test_a_researchers_own_pruner_gets_a_column(frame):
    own = frame[frame["pruner"] == "random"].assign(pruner="bayes_own")
    found = cells(own, table1.BEFORE)
    assert list(found) == [("none", 0.0), *((name, s) for s in (0.5, 0.9) for name in (*METHODS, "bayes_own"))]
    assert found["bayes_own", 0.5].ours.n == 2
    assert found["none", 0.0].ours is None


# ---- formats


def test_markdown_shows_the_cells(runs, as_mnist):
    before, after = markdown(as_mnist).split("### Accuracy after pruning")
    for text, column, measured, network in (
        (before, "test_accuracy", "sparsity_before", "as the optimiser left it"),
        (after, "pruned_test_accuracy", "sparsity", "after the gate's decision"),
    ):
        a, b = last_values(runs, "bayes_random", 0.9, column)
        zeros = sum(last_values(runs, "bayes_random", 0.9, measured)) / 2
        mean, sd = (a + b) / 2, abs(a - b) / math.sqrt(2)
        expected = f"{mean:.4f} ± {sd:.4f} (2)<br>paper 0.9657, {mean - 0.9657:+.4f}<br>zeros {percent(zeros, 1)}"
        [row] = [line for line in text.splitlines() if line.split("|")[4:5] == [" 90% "] and "0.9657" in line]
        assert row.split("|")[6].strip() == expected
        names = [[cell.strip() for cell in line.split("|")[1:4]] for line in text.splitlines() if "% |" in line]
        once = [names[0], *[["", "", ""]] * 4]  # only a row's first line has its names and its unpruned network
        assert names[0][:2] == ["MNIST", "FCN"]
        assert names[:5] == once
        protocol = "regrow, previous, sum/sum, beta 0.5, prior N(0, 1^2)"
        assert f" (the network {network}; epoch 3, protocol: {protocol})\n" in text
    widths = {line.count("|") for line in markdown(as_mnist).splitlines() if line.startswith("|")}
    assert widths == {9}


def test_a_difference_stands_below_its_pair_and_beside_its_sparsity(frame):
    text = markdown(frame, True).split("### Each Bayes method minus its classic twin")[1]
    header, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line)
    assert [row[:3] for row in rows] == [["MNIST (5,000)", "FCN", "50%"], ["", "", "90%"]]
    compared = table1.compare(frame, table1.twins(frame))
    for row, sparsity in zip(rows, (0.5, 0.9), strict=True):
        for twin, when in itertools.product(("random", "magnitude"), ("before", "after")):
            key = ("mnist_5k", "fcn", f"bayes_{twin}", sparsity), twin
            shown = row[header.index(f"Bayes {twin.title()} - {twin.title()}, {when} pruning")]
            assert shown == f"{compared[key][when].mean:+.4f} (2)<br>no interval"


def test_one_row_shows_the_papers_value_and_both_of_ours(as_mnist):
    """Means of the fixture's two seeds; a cell without runs is missing, one seed alone has no number in brackets."""

    def values(runs, pruner, sparsity):
        last = runs[
            (runs["pruner"] == pruner) & (runs["target_sparsity"] == sparsity) & (runs["epoch"] == runs["epochs"])
        ]
        paper = paper_values()["mnist", "fcn", pruner, sparsity]
        return f"{paper:.4f}, {last['test_accuracy'].mean():.4f}, {last['pruned_test_accuracy'].mean():.4f}"

    text = row_markdown(as_mnist, "mnist", "fcn")
    assert f"Unpruned: {values(as_mnist, 'none', 0.0)} (2)." in text
    [line] = [line for line in text.splitlines() if line.startswith("| 90% |")]
    asked = [f"{values(as_mnist, pruner, 0.9)} (2)" for pruner in METHODS]
    assert line == f"| 90% | {' | '.join(asked)} |"
    assert "| 99% | 0.9433, missing, missing |" in text
    first = as_mnist[as_mnist["seed"] == 0]
    assert f"Unpruned: {values(first, 'none', 0.0)}." in row_markdown(first, "mnist", "fcn")


def test_cells_of_several_seeds_show_each_in_the_order_of_the_paper(as_mnist):
    cnn = as_mnist.assign(model="cnn")
    alone = (cnn["pruner"] == "bayes_random") & (cnn["seed"] == 1)
    cifar = cnn[cnn["pruner"] == "none"].assign(dataset="cifar10", hash="other", run="other")
    frame = pd.concat([cifar, as_mnist, cnn[~alone]]).iloc[::-1]
    rows = [line.strip("| ").split(" | ") for line in seeds_markdown(frame, "cnn").splitlines()[2:]]
    assert [row[:2] for row in rows] == [
        ["MNIST", "Unpruned"],
        ["MNIST", "Random 50%"],
        ["MNIST", "Magnitude 50%"],
        ["MNIST", "Bayes Magnitude 50%"],
        ["MNIST", "Random 90%"],
        ["MNIST", "Magnitude 90%"],
        ["MNIST", "Bayes Magnitude 90%"],
        ["CIFAR-10", "Unpruned"],
    ]
    last = table1.final_by_seed(cnn)["mnist", "cnn", "random", 0.9].sort_index()
    numbers = [", ".join(f"{value:.4f}" for value in last[name]) for name in ("test_accuracy", "pruned_test_accuracy")]
    assert rows[4][2:] == ["0.9806", "0, 1", *numbers]


def test_seeds_are_counted_by_reading_and_those_of_unpruned_networks_with_the_default(as_mnist):
    of_two = {
        name: text.replace("beta 0.5", f"beta {name}") for name in ("0.4", "0.6") for text in as_mnist["protocol"]
    }
    bayes, classic = as_mnist["pruner"].str.startswith("bayes_"), as_mnist["pruner"].isin(["random", "magnitude"])
    one_seed = as_mnist["seed"] == 0
    frame = pd.concat(
        [
            *[as_mnist[bayes & one_seed].assign(protocol=of_two["0.6"])] * 2,  # twice the same seed
            as_mnist[bayes].assign(protocol=of_two["0.4"]),
            as_mnist[bayes].assign(pruner="laplace_random"),  # none of the paper's methods
            as_mnist[(as_mnist["pruner"] == "none") | (classic & (one_seed | (as_mnist["target_sparsity"] == 0.9)))],
            as_mnist[as_mnist["pruner"] == "none"].assign(dataset="cifar10", model="cnn", protocol=of_two["0.4"]),
        ]
    )
    lines = seed_counts(frame, "paper").splitlines()
    assert lines[0] == "| Network | Reading | MNIST | CIFAR-10 |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| FCN"] * 3 + ["| CNN"]
    assert lines[2] == "| FCN | paper | 2 (3), 1 (2) |  |"
    assert [line.split(" | ", 2)[2] for line in lines[3:5]] == [
        "2 (4) |  |",
        "1 (4) |  |",
    ]  # the one with more runs first
    assert lines[5] == "| CNN | paper |  | 2 (1) |"


def test_a_mean_above_the_papers_value_shows_its_sign(runs, frame):
    cnn = frame.assign(dataset="mnist", model="cnn", target_sparsity=frame["target_sparsity"].replace(0.9, 0.99))
    mean = sum(last_values(runs, "random", 0.9, "test_accuracy")) / 2
    assert f"paper 0.1135, +{mean - 0.1135:.4f}<br>" in markdown(cnn)


def test_what_the_paper_does_not_have_comes_after_what_it_has_by_name():
    names = ["a", "cifar10", "fashion_mnist", "mine", "mnist"]
    assert sorted(names, key=lambda name: rank(name, DATASETS)) == ["mnist", "fashion_mnist", "cifar10", "a", "mine"]


def test_measured_zeros_are_told_from_none_and_from_all():
    assert [percent(x, 1) for x in (0.0, 0.00024, 0.0551, 0.25, 0.9, 0.9996, 1.0)] == [
        "0%",
        "0.02%",
        "5.5%",
        "25%",
        "90%",
        "99.96%",
        "100%",
    ]


def test_latex_is_booktabs_with_even_rows_and_nothing_unescaped(as_mnist):
    text = latex(as_mnist, True)
    assert text.count(r"\begin{sidewaystable}") == text.count(r"\end{sidewaystable}") == 3
    for rule in (r"\toprule", r"\bottomrule"):
        assert text.count(rule) == 3
    for table in text.split(r"\begin{tabular}")[1:]:
        columns = re.match(r"\{(l+)\}", table).group(1)
        rows = [line for line in table.split(r"\end{tabular}")[0].splitlines() if line.endswith(r" \\")]
        assert {line.count("&") for line in rows} == {len(columns) - 1}
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[%#_^]", body.replace(r"\textasciicircum{}", ""))
    assert body.count("{") == body.count("}")
    assert "±" not in body


def test_an_interval_on_a_line_of_its_own_is_not_read_as_a_length():
    text = tables.latex(["a"], [["+0.1 (5)\n[-0.1, +0.2]"], ["[0, 1]"]], formats._escape)
    assert r"\makecell[tl]{$+$0.1 (5) \\ {}[$-$0.1, $+$0.2]}" in text
    assert "\n[0, 1]" in text


def test_csv_has_every_cell_in_full(runs, as_mnist):
    third = as_mnist[as_mnist["seed"] == 0].assign(seed=2, run="third")
    three = pd.concat([as_mnist, third.assign(hash=third["hash"] + "third")])
    rows = list(csv.DictReader(io.StringIO(csv_text(three, True))))
    assert len(rows) == 2 * (6 + 6 * 5 * 4)
    [row] = [r for r in rows if (r["accuracy"], r["model"], r["method"], r["sparsity"], r["dataset"]) == (
        "after", "fcn", "bayes_random", "0.9", "mnist",
    )]  # fmt: skip

    def of_three(pruner, column="pruned_test_accuracy"):
        a, b = last_values(runs, pruner, 0.9, column)
        return [a, b, a]

    ours, zeros = of_three("bayes_random"), of_three("bayes_random", "sparsity")
    assert float(row["mean"]) == pytest.approx(statistics.fmean(ours), rel=1e-14)
    assert float(row["sd"]) == pytest.approx(statistics.stdev(ours), abs=1e-14)
    assert float(row["difference"]) == pytest.approx(statistics.fmean(ours) - 0.9657, rel=1e-12)
    assert float(row["measured_sparsity"]) == pytest.approx(statistics.fmean(zeros), rel=1e-14)
    assert (row["n"], row["paper"], row["twin"], row["paired_n"]) == ("3", "0.9657", "random", "3")
    test = scipy.stats.ttest_rel(ours, of_three("random"))
    found = [float(row[f"paired_{name}"]) for name in ("mean", "low", "high")]
    less = statistics.fmean(ours) - statistics.fmean(of_three("random"))
    assert found == pytest.approx([less, *test.confidence_interval(0.95)], abs=1e-12)
    missing = [r for r in rows if r["dataset"] == "cifar10"]
    assert {(r["n"], r["mean"], r["sd"], r["difference"]) for r in missing} == {("0", "", "", "")}
    assert csv_text(as_mnist).splitlines()[0].endswith(",measured_sparsity")  # nothing is compared unless it is asked


# ---- the scripts


def call(name, monkeypatch, *arguments):
    """Run a script as `python scripts/NAME ARGUMENTS` would, in this process."""
    monkeypatch.setattr(sys, "path", [str(script_path(f"{name}.py").parent), *sys.path])
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    runpy.run_path(str(script_path(f"{name}.py")), run_name="__main__")


def test_table_on_the_terminal_is_markdown(runs, frame, monkeypatch, capsys):
    call("make_table", monkeypatch, runs, "--compare")
    assert capsys.readouterr().out == markdown(frame, True)


def test_table_files_are_written_from_an_archive(runs, frame, tmp_path, monkeypatch, capsys):
    call("publish", monkeypatch, runs, "--out", tmp_path / "runs.parquet")
    assert "18 runs, 18 new and 0 kept from before, " in capsys.readouterr().out
    call("make_table", monkeypatch, tmp_path / "runs.parquet", "--out", tmp_path / "new" / "docs")
    for suffix, render in FORMATS.values():
        assert (tmp_path / "new" / "docs" / f"table1{suffix}").read_text() == render(frame, False)


def test_one_run_alone_gives_a_table(runs, monkeypatch, capsys):
    [folder] = runs.glob("*-none-seed0-*")
    call("make_table", monkeypatch, folder, "--compare")
    [accuracy] = {row["test_accuracy"] for row in raw_rows(folder)[-1:]}
    out = capsys.readouterr().out
    assert f"| {float(accuracy):.4f} ± n/a (1)<br>zeros 0% | missing | missing |" in out


def test_runs_that_are_not_finished_are_named(own_runs, monkeypatch, capsys):
    [folder] = own_runs.glob("*-none-seed0-*")
    (folder / "summary.json").unlink()
    call("make_table", monkeypatch, own_runs)
    assert capsys.readouterr().err == f"left out: {folder.name} (not finished: 3 epochs so far)\n"


def test_two_protocols_end_in_a_sentence_and_the_flag_chooses(own_runs, monkeypatch, capsys):
    [folder] = own_runs.glob("*-bayes_random-0.9-seed0-*")
    [other] = own_runs.glob("*-bayes_random-0.9-seed1-*")
    protocol = {"regrow": False, "decision": "candidate", "log_likelihood": "sum", "log_prior": "sum", "beta": 1}
    rewrite_summary(folder, protocol=protocol | {"prior": {"mean": 0, "std": 1}})
    with pytest.raises(SystemExit) as exit_:
        call("make_table", monkeypatch, own_runs)
    assert "--protocol" in exit_.value.code
    assert '"stay zero, candidate, sum/sum, beta 1, prior N(0, 1^2)"' in exit_.value.code
    call("make_table", monkeypatch, own_runs, "--protocol", "previous", "--format", "csv")
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    [row] = [r for r in rows if (r["accuracy"], r["method"], r["sparsity"]) == ("before", "bayes_random", "0.9")]
    assert row["n"] == "1"
    assert row["mean"] == raw_rows(other)[-1]["test_accuracy"]


@pytest.mark.parametrize("name", ["make_table", "publish"])
@pytest.mark.parametrize("trouble", ["missing", "empty", "corrupt", "unfinished"])
def test_trouble_with_the_source_is_one_sentence(name, trouble, own_runs, tmp_path, monkeypatch):
    source, expected = {
        "missing": (tmp_path / "nowhere", f"{tmp_path / 'nowhere'} does not exist"),
        "empty": (tmp_path / "empty", f"{tmp_path / 'empty'} has no runs in it"),
        "corrupt": (own_runs, "metrics.csv, line 2: 1 values where 15 are expected"),
        "unfinished": (own_runs, f"{own_runs} has no finished run"),
    }[trouble]
    (tmp_path / "empty").mkdir()
    if trouble == "corrupt":
        path = next(own_runs.iterdir()) / "metrics.csv"
        path.write_text(path.read_text().splitlines()[0] + "\noops\n")
    if trouble == "unfinished":
        for path in own_runs.glob("*/summary.json"):
            path.unlink()
    with pytest.raises(SystemExit) as exit_:
        call(name, monkeypatch, source, "--out", tmp_path / "out")
    assert expected in exit_.value.code
    assert "\n" not in exit_.value.code
    assert not (tmp_path / "out").exists()


def test_filters_need_the_server_and_json(runs, monkeypatch):
    with pytest.raises(SystemExit, match="give --wandb"):
        call("make_table", monkeypatch, runs, "--filters", "{}")
    with pytest.raises(SystemExit, match="is not JSON"):
        call("make_table", monkeypatch, runs, "--wandb", "a/b", "--filters", "group=table1")
    with pytest.raises(SystemExit, match="is not a JSON object such as"):
        call("make_table", monkeypatch, runs, "--wandb", "a/b", "--filters", '["table1"]')


def test_an_error_leaves_with_status_1_and_no_stack_trace(tmp_path):
    command = [sys.executable, str(script_path("make_table.py")), "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "nowhere does not exist: name a folder of runs or a published archive.\n"


def test_signs_of_markdown_and_latex_in_a_name_are_shown_as_they_are():
    assert tables.markdown(["own|50%"], [["a|b"], ["c<br><d>"]]).splitlines() == [
        r"| own\|50% |", "| --- |", r"| a\|b |", "| c<br>&lt;d> |"
    ]  # fmt: skip
    assert formats._escape("a\\b{c}~<|>^_%&#$ +1") == (
        r"a\textbackslash{}b\{c\}\textasciitilde{}\textless{}\textbar{}\textgreater{}\textasciicircum{}\_\%\&\#\$ $+$1"
    )
