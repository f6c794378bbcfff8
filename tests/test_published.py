"""What is published is what the published runs give: tables, claims and ranking beside the archive, and the pages."""

import re
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT
from fixtures import rewrite_summary, summary, unpack
from omegaconf import MISSING, OmegaConf
from synthetic import PROTOCOL, call_script, runs

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.paths import conf_dir
from bayes_pruning.config.presets import file_values
from bayes_pruning.config.schema import run_config
from bayes_pruning.results import archive
from bayes_pruning.results.frame import SORTED_BY, load, load_summaries, publish
from bayes_pruning.studies import exact_sparsity
from bayes_pruning.studies.claims.rules import Verdict
from bayes_pruning.studies.claims.verdicts import Finding
from bayes_pruning.studies.publication import Publication, ScheduleStudy, filled, origin, studies_in, write

FOLDER = ROOT / "outputs" / "published"
GROUPS = ("dataset", "model", "pruner", "protocol")
TRAINING = ("epochs", "batch_size", "optimizer", "learning_rate", "momentum", "precision")
script = pytest.fixture(call_script)


@pytest.fixture(scope="module")
def publication() -> Publication:
    return studies_in(FOLDER)[0]


@pytest.fixture(scope="module")
def schedules() -> ScheduleStudy:
    return studies_in(FOLDER)[1]


@pytest.mark.parametrize("study", [pytest.param("publication", marks=pytest.mark.slow), "schedules"])
def test_the_committed_tables_are_those_of_the_committed_runs(study: str, request: pytest.FixtureRequest) -> None:
    for name, text in request.getfixturevalue(study).texts().items():
        assert (FOLDER / name).read_text() == text, f"{name} is out of date: run python scripts/rebuild.py"


@pytest.mark.parametrize(
    ("study", "page", "block"),
    [
        pytest.param("publication", "reproduction.md", "ranking", marks=pytest.mark.slow),
        ("schedules", "bayesian_schedule.md", "schedule-targets"),
    ],
)
def test_the_page_quotes_the_committed_runs(study: str, page: str, block: str, request: pytest.FixtureRequest) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert f"<!-- begin {block} -->" in text
    assert filled(text, request.getfixturevalue(study).blocks()) == text, "out of date: run python scripts/rebuild.py"


values_of = cache(file_values)


@cache
def conf_fields(*names: str) -> dict[str, Any]:
    """What the files of conf/ say of a run that chooses these names; a network may have one that no file has."""
    fields = {name: value for name, value in values_of(conf_dir() / "config.yaml").items() if name in TRAINING}
    for group, name in zip(GROUPS, names, strict=True):
        file = conf_dir() / group / f"{name}.yaml"
        own = values_of(file) if file.exists() else {}
        fields |= {f"{group}.{field}": value for field, value in own.items() if MISSING not in str(value)}
    return fields


@pytest.mark.parametrize("archived", sorted(path.name for path in FOLDER.glob("*.parquet")))
def test_every_published_run_is_still_the_run_that_its_hash_names(archived: str) -> None:
    """A field that was added to the config since leaves what was run before it as it is.

    What its command line left to the files of conf/, by the names of its choices, they say today too."""
    made_by = archive.read_provenance(FOLDER / archived)
    assert made_by
    for run, about in made_by.items():
        config = about["config"]
        assert run_config(config).hash() == about["summary"]["hash"], run
        then = config | {f"{group}.{field}": value for group in GROUPS for field, value in config[group].items()}
        today = conf_fields(*(config[group]["name"] for group in GROUPS))
        overrides = str(about["overrides"])
        left = [field for field in today if field in then and field not in overrides]
        assert {field: then[field] for field in left} == {field: today[field] for field in left}, run


def test_every_published_schedule_ends_exactly_as_sparse_as_asked(schedules: ScheduleStudy) -> None:
    """And stays so: from the epoch on in which the target was reached, trained networks have no fewer zeros."""
    pruned = schedules.runs[schedules.runs["pruner"] != "none"]
    last = pruned[pruned["epoch"] == pruned["epochs"]]
    gap = (last["sparsity"] - last["target_sparsity"]).abs() * last["prunable_weights"]
    assert len(last) >= 7 * 5
    assert gap.max() <= exact_sparsity.ROUNDING
    for _, run in pruned.groupby("run"):
        assert (run["sparsity_before"].to_numpy()[1:] >= run["sparsity"].to_numpy()[:-1]).all()


@pytest.mark.parametrize(
    ("page", "least"), [("README.md", 2), ("docs/reproduction.md", 2), ("docs/bayesian_schedule.md", 1)]
)
def test_every_picture_of_a_page_is_there(page: str, least: int) -> None:
    path = ROOT / page
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", path.read_text())
    assert len(shown) >= least
    for picture in shown:
        assert (path.parent / picture).is_file()


def packed(path: Path, folders: Iterable[Path], **renamed: str) -> None:
    """Publish copies of runs at `path`, those that prune with another name of their network or pruner."""
    for folder in folders:
        pruned = summary(folder)["pruner"] != "none"
        copy = shutil.copytree(folder, path.with_suffix("") / "-".join([folder.name, *renamed.values()][: 1 + pruned]))
        if pruned and renamed:
            config: Any = OmegaConf.load(copy / ".hydra" / "config.yaml")
            for group, name in renamed.items():
                config[group].name = name
            OmegaConf.save(config, copy / ".hydra" / "config.yaml")
            rewrite_summary(copy, hash=copy.name, **renamed)
    publish(path.with_suffix(""), path)


def test_archives_are_told_apart_by_what_they_hold_and_a_run_in_several_counts_once(tmp_path: Path) -> None:
    runs, folder = unpack(tmp_path / "runs"), tmp_path / "published"
    unpruned, magnitude, random = ([*runs.glob(f"mnist_5k-fcn-{name}-*")] for name in ("none", "magnitude", "random"))
    packed(folder / "a.parquet", unpruned[:1], model="fcn_tanh")
    packed(folder / "b.parquet", [*unpruned, *magnitude], model="fcn_tanh")
    packed(folder / "c.parquet", [*unpruned, *magnitude], pruner="gradual")
    packed(folder / "d.parquet", [*unpruned[:1], *magnitude])
    packed(folder / "e.parquet", [*magnitude, *random])
    paper, schedules = studies_in(folder)
    a, b, c, d, e = sorted(folder.glob("*.parquet"))
    assert (paper.archives, paper.schedules, paper.details, paper.further) == ([a, d, e], [c], [b], [])
    assert schedules.archives == [c]
    wanted = pd.concat(load(part).frame for part in [*unpruned, *magnitude, *random])
    wanted = wanted.astype({"settings": "category"})  # each part has categories of its own
    order = [*SORTED_BY]
    for found in (paper.all_runs, paper.all_seeds):
        pd.testing.assert_frame_equal(*(frame.sort_values(order, ignore_index=True) for frame in (found, wanted)))
    assert set(paper.summaries) >= set(paper.all_runs["run"])


def shifted(folder: Path, by: int) -> Path:
    """The runs as if they were of MNIST, with other seeds."""
    for run in [*unpack(folder).iterdir()]:
        about = summary(run)
        rewrite_summary(run, dataset="mnist", seed=20 * about["seed"] + by, hash=f"{about['hash']}{by}")
        run.rename(folder / f"{run.name}{by}")
    return folder


def test_claims_are_judged_on_further_seeds_too_and_table_1_and_ranking_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "published"
    for by in (0, 4, 5):  # seeds 0 and 20, 4 and 24, 5 and 25: only the last has none of the paper's five
        publish(shifted(tmp_path / f"{by}", by), folder / f"{by}.parquet")
    study, _ = studies_in(folder)
    assert (study.archives, study.further) == ([folder / "0.parquet", folder / "4.parquet"], [folder / "5.parquet"])
    assert set(study.runs["seed"]) == set(study.all_runs["seed"]) == {0, 20, 4, 24}
    assert study.ranking.last["seeds"].max() == 4
    [found] = [
        each
        for each in study.findings
        if (each.claim, each.where) == ("sparse_without_losing_accuracy", "Table 1: MNIST FCN, bayes_random")
    ]
    assert [number.n for number in found.verdict.numbers] == [6, 6]
    assert "n = 6" in study.texts()["claims.md"]
    assert study.blocks()["origin"]().startswith("54 runs of 3 epochs ")
    assert study.blocks()["details-cnn"]() == "Not run yet.\n"  # a page may quote them, and no archive has any
    lines = study.blocks()["claims"]().splitlines()
    assert lines[0].startswith(f"{len(study.findings)} checks of ")
    assert lines[2] == "| The paper | holds | fails | undecided |"
    assert (
        "| The number of parameters of the CNN is larger than that of the FCN. | Figure 7: MNIST CNN |  |  |" in lines
    )
    assert lines[-1] == "| The mean and standard deviation of the accuracy is reported. |  | Table 1: MNIST FCN |  |"
    twice = Publication([*study.archives, *study.further], further=study.further)
    assert len(twice.judged) == 54 * 3  # a run that both hold counts once


def test_what_ran_on_several_machines_is_counted_by_machine_and_versions(tmp_path: Path) -> None:
    runs = unpack(tmp_path / "runs")
    [on_gpu] = runs.glob("mnist_5k-fcn-none-seed1-*")
    rewrite_summary(on_gpu, device="cuda:0", versions={"torch": "9.9.9"}, wall_seconds=7200)
    text = origin(load(runs).frame, load_summaries(runs))
    assert text.startswith("18 runs of 3 epochs (18 of MNIST (5,000) FCN), ")
    assert re.search(
        r" 2\.0 hours of training in all, on cpu, with python [\d.]+, torch .*, bayes_pruning .* \(17 runs\); ", text
    )
    assert text.endswith("; on cuda:0, with torch 9.9.9 (1 run).\n")


def test_a_block_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='no block "nothing"'):
        filled("<!-- begin nothing -->\nold\n<!-- end nothing -->", {"something": str})
    assert filled("a <!-- begin x -->old<!-- end x --> b", {"x": lambda: "new"}) == (
        "a <!-- begin x -->\n\nnew\n<!-- end x --> b"
    )


@pytest.mark.parametrize("short_first", [True, False])
def test_readings_are_ranked_at_the_epochs_of_the_default_one(short_first: bool) -> None:
    long = [runs(name, test_accuracy=0.9) for name in ("mnist fcn none", "mnist fcn bayes_random 0.75")]
    short = runs("mnist fcn bayes_random 0.75", epochs=4, protocol=PROTOCOL.replace("beta 0.5", "beta 0.4"))
    study = Publication([])
    vars(study)["all_runs"] = pd.concat([short, *long] if short_first else [*long, short], ignore_index=True)
    assert study.ranking.epochs == [7, 8]
    assert set(study.ranking.ranked["protocol"]) == {PROTOCOL}


def test_a_page_quotes_where_each_statement_holds_and_where_it_fails() -> None:
    study = Publication([])
    vars(study)["findings"] = [
        Finding("so", place, "It is so.", "rule", Verdict(outcome))
        for place, outcome in (("Figure 4", "fails"), ("Figure 10", "holds"), ("Table 1", "fails"))
    ] + [Finding("open", "Figure 4", "It may be so.", "rule", Verdict("undecided"))]
    said = study.by_statement().splitlines()
    assert said[0].startswith("4 checks of ")
    assert said[2] == "| The paper | holds | fails | undecided |"
    assert said[4:] == ["| It is so. | Figure 10 | Figure 4; Table 1 |  |", "| It may be so. |  |  | Figure 4 |"]


def test_kept_masks_alone_are_no_study_of_schedules() -> None:
    with pytest.raises(UserError, match=r"fcn_kept\.parquet has no run of a pruner that the study .*: one_shot, "):
        ScheduleStudy([FOLDER / "fcn_kept.parquet"]).texts()


def test_nothing_is_written_before_everything_is_made(tmp_path: Path) -> None:
    """Two studies, of which the second has a page that quotes what there is not."""
    pages = [tmp_path / "first.md", tmp_path / "second.md"]
    studies: list[Any] = []
    for page, block in zip(pages, ("known", "unknown"), strict=True):
        page.write_text(f"<!-- begin {block} --><!-- end {block} -->")
        made = {"texts": lambda: {"a.md": "text"}, "pictures": lambda: {"b.png": b"picture"}, "archives": ["c.parquet"]}
        studies.append((SimpleNamespace(**made, blocks=lambda: {"known": lambda: "quoted"}), page))
    with pytest.raises(UserError, match='There is no block "unknown"'):
        write(studies, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == pages
    assert "quoted" not in pages[0].read_text()
    said = write([studies[0], (studies[1][0], None)], tmp_path / "out")
    assert said == [f"{tmp_path / 'out'}: a.md and 1 figures, from c.parquet", f"filled {pages[0]}", said[0]]
    assert (tmp_path / "out" / "figures" / "b.png").read_bytes() == b"picture"
    assert pages[0].read_text() == "<!-- begin known -->\n\nquoted\n<!-- end known -->"


def test_a_folder_that_is_not_there_is_named_with_wandb_too(tmp_path: Path, script: Any) -> None:
    code, _ = script("publish.py", tmp_path / "nowhere", "--out", tmp_path / "runs.parquet", "--wandb")
    assert str(code).startswith(f"{tmp_path / 'nowhere'} does not exist")


def test_a_project_that_is_none_or_would_not_be_used_publishes_nothing(tmp_path: Path, script: Any) -> None:
    folder, path = unpack(tmp_path / "runs"), tmp_path / "runs.parquet"
    code, _ = script("publish.py", folder, "--out", path, "--wandb", "--project", "a/b/c")
    assert code == "a/b/c is not a W&B project: give PROJECT or ENTITY/PROJECT."
    for option in ("--project", "--protocol"):
        code, _ = script("publish.py", folder, "--out", path, option, "paper")
        assert code == "--project and --protocol are for a run on W&B: give --wandb too."
    assert not path.exists()


def test_a_protocol_that_no_run_follows_publishes_nothing(tmp_path: Path, script: Any) -> None:
    folder, path = unpack(tmp_path / "runs"), tmp_path / "runs.parquet"
    code, printed = script("publish.py", folder, "--out", path, "--wandb", "--protocol", "nonsense")
    assert 'Protocol "nonsense" fits no protocol of these runs: they follow paper.' in str(code)
    assert printed == ""
    assert not path.exists()
    publish(folder, path)
    before = path.read_bytes()
    for run in [*folder.iterdir()]:  # the same runs by another reading: with those of the archive they are of two
        about = summary(run)
        rewrite_summary(run, protocol=about["protocol"] | {"beta": 0.25}, hash=f"{about['hash']}x")
        run.rename(folder / f"{run.name}x")
    code, printed = script("publish.py", folder, "--out", path, "--wandb")
    assert "The runs follow 2 protocols: choose with --protocol one of " in str(code)
    assert path.read_bytes() == before
