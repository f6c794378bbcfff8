"""The command line `bayes-pruning COMMAND` and the scripts, which are the same commands."""

import json
import re
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import QUIET, ROOT, composed, run_of
from hydra.core.global_hydra import GlobalHydra
from test_tracking import metrics

from bayes_pruning import cli, commands, script
from bayes_pruning.config.errors import ConfigError, listed
from bayes_pruning.figures.style import STYLES
from bayes_pruning.runs import layout
from bayes_pruning.runs.progress import bar
from bayes_pruning.runs.run_folder import RunFolder

NAMES = [
    "train",
    "status",
    "table",
    "figures",
    "claims",
    "report",
    "publish",
    "dashboard",
    "sync",
    "rank",
    "replay",
    "rebuild",
]


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["bayes-pruning", *arguments])
    commands.main()


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_the_help_lists_every_command(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called(monkeypatch, *arguments)
    assert re.findall(r"^  (\w+) +\S", capsys.readouterr().out, re.MULTILINE) == [*NAMES, "compact"]


def test_an_unknown_command_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"^There is no command tabel: the commands are train, status, table, "):
        called(monkeypatch, "tabel")


def test_a_command_takes_its_own_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^nowhere does not exist: "):
        called(monkeypatch, "publish", "nowhere")
    with pytest.raises(SystemExit) as ended:
        called(monkeypatch, "table", "--help")
    assert ended.value.code == 0
    assert "usage: bayes-pruning table [-h]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("--config-dir", "."), ()),
        ((), ("--config-dir", ".")),
        (("-m",), ()),
        ((), ("hydra/launcher=basic",)),
        (("hydra.launcher.workers=1",), ("+hydra.launcher.slurm.options.account=mine",)),
        ((), ("++hydra.launcher.max_members=2",)),
        (("--config-dir", "CONFIGS"), ("experiment=of_one_member",)),
    ],
)
def test_status_takes_the_arguments_of_train_and_trains_nothing(
    before: tuple[str, ...],
    after: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another launcher would train the runs that it is asked about."""
    GlobalHydra.instance().clear()
    output, configs = tmp_path / "outputs", tmp_path / "configs"
    (configs / "experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra: {launcher: {max_members: 1}}\n"
    (configs / "experiment" / "of_one_member.yaml").write_text(text)
    before = tuple(argument.replace("CONFIGS", str(configs)) for argument in before)
    grid = ("dataset=mnist_5k", "epochs=1", "sparsity=0.5,0.9", *QUIET, f"output_dir={output}")
    called(monkeypatch, "status", *before, *grid, *after)
    assert capsys.readouterr().out.endswith("2 runs: 0 finished, 0 training, 0 cut short, 0 failed, 2 missing\n")
    assert not output.exists()


@pytest.mark.parametrize(
    ("damaged", "text"), [("failure.json", "{"), ("failure.json", "{}"), ("failure.json", "[]"), ("summary.json", "")]
)
def test_status_names_a_damaged_file_and_shows_the_rest(
    damaged: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    GlobalHydra.instance().clear()
    folder = layout.folder_of(run_of("dataset=mnist_5k", "epochs=1"), tmp_path)
    folder.mkdir()
    (folder / damaged).write_text(text)
    called(monkeypatch, "status", "dataset=mnist_5k", "epochs=1", "seed=0,1", *QUIET, f"output_dir={tmp_path}")
    said, *_, counts = capsys.readouterr().out.splitlines()
    assert said.startswith(f"{folder} failed")
    assert f"{damaged} can not be read" in said
    assert counts == "2 runs: 0 finished, 0 training, 0 cut short, 1 failed, 1 missing"


def test_status_tells_a_run_that_is_being_trained_from_one_that_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_one = ("dataset=mnist_5k", "epochs=1", *QUIET, f"output_dir={tmp_path}")

    def said(*more: str) -> list[str]:
        GlobalHydra.instance().clear()
        called(monkeypatch, "status", *of_one, *more)
        return capsys.readouterr().out.splitlines()

    with RunFolder(run_of("dataset=mnist_5k", "epochs=1"), tmp_path, composed(*of_one), None) as folder:
        first, *_, counts = said()
        assert first == f"{folder.path} is being trained, now after epoch 0 of 1"
        assert counts == "1 runs: 0 finished, 1 training, 0 cut short, 0 failed, 0 missing"
    assert said()[0] == f"{folder.path} was cut short after epoch 0 of 1"
    assert said("checkpoint_seconds=9")[0].endswith(" after epoch 0 of 1 (its checkpoint may be older)")


def test_status_shows_how_many_epochs_of_all_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three runs of four epochs one is finished, one was cut short after two, and one was not begun."""
    GlobalHydra.instance().clear()
    finished, cut_short = (
        layout.folder_of(run_of("dataset=mnist_5k", "epochs=4", f"seed={seed}"), tmp_path) for seed in (0, 1)
    )
    finished.mkdir()
    cut_short.mkdir()
    (finished / "summary.json").write_text(json.dumps({"metrics": asdict(metrics(4))}))
    (cut_short / "metrics.csv").write_text("the columns\n1\n2\n")
    called(monkeypatch, "status", "dataset=mnist_5k", "epochs=4", "seed=0,1,2", *QUIET, f"output_dir={tmp_path}")
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"{cut_short} was cut short after epoch 2 of 4"
    assert rest == [bar("mnist_5k fcn", 6, 12), "3 runs: 1 finished, 0 training, 1 cut short, 0 failed, 1 missing"]


def test_what_a_command_is_asked_for_reaches_what_does_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(place: str, *arguments: str) -> tuple[Any, ...]:
        """What a function is called with by a command, which it ends."""
        asked: list[tuple[Any, ...]] = []
        monkeypatch.setattr(f"bayes_pruning.{place}", lambda *each: asked.append(each) or sys.exit())
        with pytest.raises(SystemExit):
            called(monkeypatch, *arguments)
        return asked[0]

    drawn = ("--mnist", "mnist_5k", "--only", "fig05", "--format", "svg", "--style", "column", "--loss", "after")
    runs, plates, out, *more = given("figures.catalogue.write", "figures", f"{folder}", *drawn, "--out", "here")
    assert (set(runs["epochs"]), [plate.name for plate in plates]) == ({3}, ["fig05_mnist_5k_fcn_random"])
    assert (out, *more) == (Path("here"), "svg", STYLES["column"], "after")
    runs, plates, *_ = given("studies.report.page", "report", f"{folder}", "--mnist", "mnist_5k", "--epoch", "2")
    assert (set(runs["epochs"]), plates[0].name) == ({2}, "fig04_mnist_5k_fcn_75")
    assert given("studies.ranking_formats.ranking_of", "rank", f"{folder}", "--epoch", "2")[1] == 2
    with pytest.raises(SystemExit, match="--epochs 4 fits no run"):
        called(monkeypatch, "rank", f"{folder}", "--epochs", "4")
    options = ("--beta=0.1", "--prior-std=2,3", "--log-likelihood=mean", "--log-prior=sum", "--ratio=of_logs")
    choices = {"beta": [0.1], "prior_std": [2, 3], "log_likelihood": ["mean"], "log_prior": ["sum"]}
    assert given("studies.replay.replay", "replay", f"{folder}", *options)[2] == choices | {"ratio": ["of_logs"]}
    assert given("results.wandb_upload.upload", "sync", "--outputs", "a") == (Path("a/wandb"), Path("a"))
    compacted = ("compact", "a", "b", "--out", "c", "--data-root", "d", "--rounds", "7")
    assert given("studies.compact_measures.measure", *compacted) == ([Path("a"), Path("b")], Path("c"), "d", 7)
    studies = SimpleNamespace(archives=["a"]), SimpleNamespace(archives=["b"])
    monkeypatch.setattr("bayes_pruning.studies.publication.studies_in", lambda _: studies)
    quoted, out = given("studies.publication.write", "rebuild")
    assert [(study, page.name) for study, page in quoted] == [
        (studies[0], "reproduction.md"),
        (studies[1], "bayesian_schedule.md"),
    ]
    assert out == ROOT / "outputs" / "published"


def test_a_list_may_have_spaces_and_has_one_known_part_at_least() -> None:
    assert listed("--only", " a, b ,", ("a", "b", "c")) == ["a", "b"]
    with pytest.raises(ConfigError, match=r"^--only=d is not accepted: --only takes one or more of a, b, c, sep"):
        listed("--only", "a,d", ("a", "b", "c"))


def test_what_is_shown_is_in_the_format_that_was_chosen_or_else_written_in_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formats = {"markdown": (".md", "a {}\n".format), "csv": (".csv", "b,{}\n".format), "latex": (".tex", "{}".format)}

    def shown(format: str | None, out: Path | None) -> str:
        commands.show(Namespace(format=format, out=out), "mine", formats, "word")
        return capsys.readouterr().out

    assert (shown(None, None), shown("csv", None)) == ("a word\n", "b,word\n")
    assert shown("csv", tmp_path) == f"{tmp_path / 'mine.csv'}\n"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("mine.csv", "b,word\n")]
    assert shown(None, tmp_path).splitlines() == [f"{tmp_path / 'mine'}{suffix}" for suffix in (".md", ".csv", ".tex")]


def test_runs_that_are_not_uploaded_are_named_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uploaded = (["a", "b"], {"c": "permission denied"})
    monkeypatch.setattr("bayes_pruning.results.wandb_upload.upload", lambda *_: uploaded)
    with pytest.raises(SystemExit, match=r"^1 of 3 runs were not uploaded\.$"):
        called(monkeypatch, "sync")
    assert capsys.readouterr() == ("2 uploaded\n", "not uploaded: c (permission denied)\n")
    uploaded[1].clear()
    called(monkeypatch, "sync")


def test_a_ranking_is_written_in_four_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ranking_of", "markdown", "csv_text", "figure"):
        monkeypatch.setattr(f"bayes_pruning.studies.ranking_formats.{name}", lambda *_, name=name: name)
    monkeypatch.setattr("bayes_pruning.figures.catalogue.render", lambda figure, _, suffix: f"{figure} {suffix}")
    called(monkeypatch, "rank", f"{folder}", "--out", f"{tmp_path}")
    written = {path.suffix: path.read_text() for path in tmp_path.glob("readings.*")}
    assert written == {".md": "markdown", ".csv": "csv_text", ".pdf": "figure pdf", ".png": "figure png"}
    assert capsys.readouterr().out == f"{tmp_path}/readings.md, .csv, .pdf, .png\n"


@pytest.mark.parametrize("one", ["--archive", "--out"])
def test_an_archive_is_not_rebuilt_without_a_folder_for_it(one: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"^--archive and --out go together: "):
        called(monkeypatch, "rebuild", one, "somewhere")


def test_schedules_without_an_archive_rebuild_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would else be passed over, and all that is published be written anew."""
    monkeypatch.setattr("bayes_pruning.studies.publication.studies_in", lambda _: pytest.fail("it rebuilds"))
    with pytest.raises(SystemExit, match=r"^--schedules says what --archive holds: "):
        called(monkeypatch, "rebuild", "--schedules")


def test_without_a_checkout_rebuild_says_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "__file__", str(tmp_path / "site-packages" / "bayes_pruning" / "commands.py"))
    with pytest.raises(SystemExit, match=r" has no archive of a study: rebuild in a checkout, or give --archive and"):
        called(monkeypatch, "rebuild")


def test_every_script_is_a_command_and_finds_the_checkout() -> None:
    scripts = {path.name: path.read_text() for path in sorted((ROOT / "scripts").glob("*.py"))}
    assert "sys.path.insert(0, " in scripts.pop("command.py")
    named = [re.findall(r'^    call\("(\w+)"\)$', text, re.MULTILINE) for text in scripts.values()]
    assert sorted(name for [name] in named) == sorted({*commands.COMMANDS} - {"train"})
    assert all("\nfrom command import call\n" in text for text in scripts.values())


def test_output_that_nothing_reads_any_more_ends_a_command_without_a_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def closed() -> None:
        raise BrokenPipeError

    monkeypatch.setattr(cli.hydra, "main", lambda **_: lambda task: closed)
    for end in (lambda: script.run(closed), cli.main):
        with (tmp_path / "output").open("w") as output:
            monkeypatch.setattr(sys, "stdout", output)
            with pytest.raises(SystemExit) as ended:
                end()
        assert ended.value.code == 1
