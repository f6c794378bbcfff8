"""What W&B is sent: workspace and report by the schema of W&B's own package, the published run by its reader."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import synthetic
from conftest import ROOT
from omegaconf import OmegaConf
from PIL import Image
from test_wandb_server import sync
from wandb_stub import ENTITY, StoredRun, Stub

from bayes_pruning.config.errors import UserError
from bayes_pruning.figures import catalogue
from bayes_pruning.results import frame
from bayes_pruning.runs import wandb_process
from bayes_pruning.studies import dashboard
from bayes_pruning.training.metrics import COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style")  # of wandb_workspaces itself

CURVES = [  # by hand: what a researcher looks at first
    ["train_loss"],
    ["test_loss", "pruned_test_loss"],
    ["test_accuracy"],
    ["pruned_test_accuracy"],
    ["log_bayes_factor"],
    ["sparsity"],
]
GROUPS = [  # what runs of one line have in common
    ("config", "dataset.value.name"),
    ("config", "model.value.name"),
    ("config", "pruner.value.name"),
    ("config", "sparsity.value"),
    ("config", "protocol.value.name"),
    ("config", "epochs.value"),
]
PLACES = ["MNIST, FCN", "MNIST, CNN", "Fashion-MNIST, FCN", "Fashion-MNIST, CNN", "CIFAR-10, FCN", "CIFAR-10, CNN"]
MEDIA = [f"figures/fig{number:02}" for number in range(4, 22)] + ["figures/accuracy"]


def run_script(name: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script as its own process, which has W&B to itself."""
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


def panels(view: Any) -> list[dict[str, Any]]:
    """Every panel in a view's JSON, wherever it is."""
    if isinstance(view, list):
        return [panel for part in view for panel in panels(part)]
    if not isinstance(view, dict):
        return []
    own = [view] if "viewType" in view else []
    return own + [panel for part in view.values() for panel in panels(part)]


def shown(view: Any) -> dict[str, list[Any]]:
    """What a view shows: columns of its curves, keys of its pictures."""
    found = panels(view)
    return {
        "curves": [panel["config"]["metrics"] for panel in found if panel["viewType"] == "Run History Line Plot"],
        "axes": [panel["config"]["xAxis"] for panel in found if panel["viewType"] == "Run History Line Plot"],
        "media": [
            key for panel in found if panel["viewType"] == "Media Browser" for key in panel["config"]["mediaKeys"]
        ],
    }


def workspace_spec() -> Any:
    """The workspace as W&B's package writes it, read by its schema."""
    from wandb_workspaces.workspaces import internal

    text = dashboard.workspace("us", "project")._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
    internal.WorkspaceViewspec.model_validate_json(text)
    return json.loads(text)


def test_the_workspace_groups_the_runs_and_shows_each_curve_against_epochs() -> None:
    spec = workspace_spec()
    [runs] = spec["section"]["runSets"]
    assert [(key["section"], key["name"]) for key in runs["grouping"]] == GROUPS
    assert shown(spec) == {"curves": CURVES, "axes": ["epoch"] * len(CURVES), "media": MEDIA}
    for panel in panels(spec)[: len(CURVES)]:
        assert (panel["config"]["groupAgg"], panel["config"]["groupArea"]) == ("mean", "stddev")


def test_every_curve_is_a_column_that_runs_log() -> None:
    assert {column for columns in CURVES for column in columns} < set(COLUMNS)


def test_the_workspace_has_table_1_and_the_claims() -> None:
    text = json.dumps(workspace_spec())
    for key in ("table1", "claims"):
        assert f'"val": "{key}"' in text


@pytest.mark.parametrize("project", ["project", "us/", "/project", "us/project/more"])
def test_a_dashboard_needs_entity_and_project(project: str) -> None:
    with pytest.raises(UserError, match=rf"^{project} is not ENTITY/PROJECT\.$"):
        dashboard.make(project)


def test_a_project_without_entity_is_of_the_one_that_the_config_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("wandb: {entity: us, project: ours}")
    monkeypatch.setattr(dashboard, "conf_dir", lambda: tmp_path)
    assert [dashboard.target(given) for given in ("", "mine", "them/theirs")] == [
        ("us", "ours"), ("us", "mine"), ("them", "theirs")
    ]  # fmt: skip


def test_without_its_package_the_dashboard_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wandb_workspaces", "wandb_workspaces.workspaces", "wandb_workspaces.reports.v2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"pip install .*\[dashboard\]"):
        dashboard.make("us/project")


def test_the_report_has_the_curves_of_each_place_and_all_figures_beside_each_other() -> None:
    *places, published = (block for block in dashboard.report("us", "project").blocks if hasattr(block, "panels"))
    assert [grid.runsets[0].name for grid in places] == PLACES
    for grid in places:
        assert [panel.y for panel in grid.panels] == CURVES
        assert grid.panels[1].line_titles == {"test_loss": "before pruning", "pruned_test_loss": "after pruning"}
        assert grid.runsets[0].groupby == ["config." + name.replace(".value", "") for _, name in GROUPS]
        at = [(panel.layout.x, panel.layout.y, panel.layout.w) for panel in grid.panels]
        assert at[:4] == [(0, 0, 8), (8, 0, 8), (16, 0, 8), (0, 8, 8)]  # three beside each other on 24 columns
    assert [panel.media_keys for panel in published.panels] == [[key] for key in MEDIA]
    at = [(panel.layout.x, panel.layout.y, panel.layout.w) for panel in published.panels]
    assert at[-3:] == [(0, 64, 12), (12, 64, 12), (0, 72, 12)]  # two: pictures 17 to 19


def test_a_publication_is_named_by_its_archive_and_has_its_tables_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With W&B's classes played, and pictures of one pixel."""
    pixel, asked, logged = io.BytesIO(), dict[str, Any](), dict[str, Any]()
    Image.new("L", (1, 1)).save(pixel, "png")
    run = SimpleNamespace(log=logged.update, log_artifact=lambda files: None, finish=lambda: None)
    played = SimpleNamespace(
        Artifact=lambda *_, **__: SimpleNamespace(add_file=lambda file: None),
        Table=lambda dataframe: dataframe,
        Image=lambda _, caption: caption,
        init=lambda **given: asked.update(given) or run,
    )
    monkeypatch.setitem(sys.modules, "wandb", played)
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(wandb_process, "settings", lambda _: None)
    monkeypatch.setattr(catalogue.Plate, "figure", lambda *_: None)
    monkeypatch.setattr(catalogue, "render", lambda *_: pixel.getvalue())
    archive = tmp_path / "digits.parquet"
    archive.write_bytes(b"runs")
    some = synthetic.frame(synthetic.runs("mnist_5k fcn none"), synthetic.runs("mnist_5k fcn bayes_random 0.5"))
    name = dashboard.log_publication(some, archive, "", "offline", tmp_path)
    assert name == asked["id"] == f"publication-{hashlib.sha256(b'runs').hexdigest()[:10]}"
    own = OmegaConf.load(ROOT / "conf" / "config.yaml").wandb
    assert (asked["entity"], asked["project"], asked["resume"]) == (own.entity, own.project, None)
    assert asked["config"] == {"publication": "digits.parquet", "runs": 4}
    assert set(logged) == {"table1", "claims", "figures/fig05", "figures/accuracy"}
    assert logged["figures/fig05"].startswith("Figure 5. MNIST (5,000), FCN: ")
    values = [*logged["table1"].to_numpy().flat]
    assert None in values  # what is missing, which as NaN W&B would not take
    assert all(value == value for value in values)
    assert list(logged["claims"]) == ["where", "the paper", "outcome", "numbers", "claim"]


@pytest.mark.slow
def test_the_script_sends_a_report_and_a_workspace() -> None:
    with Stub() as stub:
        stub.runs["one"] = StoredRun("project")
        done = run_script("make_dashboard.py", f"{ENTITY}/project", **stub.environment())
        assert done.returncode == 0, done.stderr
        refused = run_script(
            "make_dashboard.py", f"{ENTITY}/project", **stub.environment() | {"WANDB_BASE_URL": "http://127.0.0.1:1"}
        )
    report, workspace = stub.views
    assert (report["type"], workspace["type"]) == ("runs", "project-view")
    assert {view["entityName"] + "/" + view["projectName"] for view in stub.views} == {f"{ENTITY}/project"}
    assert f"report: {stub.url}/{ENTITY}/project/reports/" in done.stdout
    assert f"workspace: {stub.url}/{ENTITY}/project?nw=" in done.stdout
    assert shown(json.loads(workspace["spec"]))["media"] == MEDIA
    spec = json.loads(report["spec"])
    found = shown(spec)
    assert (found["curves"], found["media"]) == (CURVES * 6, MEDIA)  # each data set with each network
    sets = [runs for block in spec["blocks"] for runs in block.get("metadata", {}).get("runSets", [])]
    assert [runs["name"] for runs in sets] == [*PLACES, "publication"]
    asked = [[(each["key"]["name"], each["value"]) for each in runs["filters"]["filters"]] for runs in sets]
    assert asked[2] == [("tags", ["fashion_mnist"]), ("tags", ["fcn"])]
    assert asked[6] == [("jobType", "publication")]
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith("W&B did not take the dashboard")


def inspected(folder: Path) -> list[dict[str, Any]]:
    """A W&B run folder's records by W&B's own reader."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_publication_is_one_run_with_tables_pictures_and_the_archive_offline_and_on_the_server(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, archive = tmp_path / "outputs", tmp_path / "digits.parquet"
    shutil.copytree(folder, outputs)
    done = run_script("publish.py", outputs, "--out", archive, "--wandb", "--project", "project")
    assert done.returncode == 0, done.stderr
    name = done.stdout.split("W&B run ")[1].split(",")[0]
    [logged] = (outputs / "wandb").glob(f"offline-run-*-{name}")
    records = inspected(logged)
    [run] = [record["run"] for record in records if record["type"] == "run"]
    assert (run["job_type"], run["project"], run["run_id"]) == ("publication", "project", name)
    [row] = [record["history"]["item"] for record in records if record["type"] == "history"]
    kinds = {key.removesuffix("._type"): value for key, value in row.items() if key.endswith("._type")}
    assert {key for key, kind in kinds.items() if kind == "table-file"} == {"table1", "claims"}
    pictures = {key for key, kind in kinds.items() if kind == "image-file"}
    assert pictures == {"figures/fig05", "figures/fig06", "figures/accuracy"} <= set(MEDIA)
    table = json.loads((logged / "files" / row["table1.path"]).read_text())
    values = {tuple(each[:5]): each[6] for each in table["data"]}
    runs = frame.load(folder).frame
    wanted = runs[
        (runs["pruner"] == "magnitude") & (runs["target_sparsity"] == 0.9) & (runs["epoch"] == runs["epochs"])
    ]
    assert values["after", "mnist_5k", "fcn", "magnitude", 0.9] == pytest.approx(wanted["pruned_test_accuracy"].mean())
    artifacts = {record["artifact"]["name"]: record["artifact"] for record in records if record["type"] == "artifact"}
    assert artifacts["runs-digits"]["type"] == "archive"

    with Stub() as stub:
        uploaded = sync(stub, outputs)
        assert uploaded.stdout == "1 uploaded\n", uploaded.stderr
        [number] = [i for i, each in enumerate(stub.artifacts, 1) if each["artifactCollectionName"] == "runs-digits"]
        assert stub.files[f"artifact-{number}/digits.parquet"] == archive.read_bytes()
        assert sum(file.startswith("media/images/figures/") for file in stub.files) == len(pictures)
        for variable, value in stub.environment().items():
            monkeypatch.setenv(variable, value)
        import wandb

        wandb.teardown()  # this process may have used it with another server
        with pytest.raises(UserError, match="has no runs"):
            frame.load(wandb=f"{ENTITY}/project")


@pytest.mark.slow
def test_the_publication_of_one_run_is_beside_it_where_sync_looks(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(next(folder.glob("*none-seed0-*")), tmp_path / "outputs" / "run")
    done = run_script("publish.py", run, "--out", tmp_path / "runs.parquet", "--wandb", "--project", "project")
    assert done.returncode == 0, done.stderr
    assert not (run / "wandb").exists()
    assert len([*(tmp_path / "outputs" / "wandb").glob("offline-run-*-publication-*")]) == 1
