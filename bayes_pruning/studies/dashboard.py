"""Show the project on W&B: one run with Table 1, the claims, figures and archive, a saved workspace and a report.

`log_publication` writes the run, offline too. `make` sends the workspace and the report, which say where on the page
the runs' curves and the published run's tables and pictures stand. Both are made of the classes of `wandb_workspaces`,
W&B's own package for this, which is installed with `pip install "bayes-pruning[dashboard]"`.
"""

import hashlib
import io
import itertools
import os
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from omegaconf import OmegaConf

from bayes_pruning.config.errors import UserError, user_error
from bayes_pruning.config.paths import conf_dir
from bayes_pruning.figures import catalogue
from bayes_pruning.figures.style import STYLES
from bayes_pruning.results.paper import DATASETS, MODELS, NAMES
from bayes_pruning.results.wandb_server import PUBLICATION
from bayes_pruning.runs import wandb_process
from bayes_pruning.studies import formats
from bayes_pruning.studies.claims import verdicts

JOB = PUBLICATION  # the W&B run's kind, by which it is told from runs that train
TABLES = {"table1": "Table 1", "claims": "The paper's claims"}  # by the key that they are logged under
PANELS = {  # of curves against epochs: title, and columns of metrics.csv with their words
    "Training loss (nats)": {"train_loss": "training"},
    "Test loss (nats)": {"test_loss": "before pruning", "pruned_test_loss": "after pruning"},
    "Test accuracy before pruning": {"test_accuracy": "before pruning"},
    "Test accuracy after pruning": {"pruned_test_accuracy": "after pruning"},
    "Log Bayes factor (nats)": {"log_bayes_factor": "log Bayes factor"},
    "Sparsity after the epoch": {"sparsity": "sparsity"},
}
# Of the config: a line is the mean over what a group's runs differ in, which is their seed.
GROUPS = ("dataset.name", "model.name", "pruner.name", "sparsity", "protocol.name", "epochs")
WIDTH, HEIGHT = 24, 8  # of a report's page in columns, and of a panel in rows


def _key(plate: catalogue.Plate) -> str:
    """Return the key that a figure is logged under: `figures/fig04` to `figures/accuracy`."""
    return f"figures/{plate.name.split('_')[0]}"


def log_publication(
    frame: pd.DataFrame, archive: Path, project: str, mode: Literal["offline", "online"], folder: Path
) -> str:
    """Log Table 1, the claims, the figures that the runs allow and their archive as one W&B run; return its id.

    The id comes from the archive's bytes: the same archive is the same W&B run, not a second one. `frame` has the
    archive's runs of one protocol, `project` is as `target` takes it, and W&B keeps its folder `wandb` in `folder`.
    Raise UserError if W&B's server can not be used.
    """
    os.environ.setdefault("WANDB_DATA_DIR", str(folder / "wandb"))  # where W&B keeps the archive until it is uploaded
    import wandb
    from PIL import Image

    entity, name = target(project)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()[:10]
    files = wandb.Artifact(f"runs-{archive.stem}", type="archive", description="Every run and epoch, with configs.")
    files.add_file(str(archive))
    tables = {
        "table1": pd.read_csv(io.StringIO(formats.csv_text(frame, True))),
        "claims": pd.DataFrame(
            {
                "where": finding.where,
                "the paper": finding.statement,
                "outcome": finding.verdict.outcome,
                "numbers": "; ".join(verdicts.told(finding.verdict)),
                "claim": finding.claim,
            }
            for finding in verdicts.check(frame)
        ),
    }
    style = STYLES["paper"]
    plates = catalogue.catalogue("mnist" if "mnist" in set(frame["dataset"]) else "mnist_5k")
    pictures = {
        _key(plate): (io.BytesIO(catalogue.render(plate.figure(frame, style), style, "png")), plate.alt_text(frame))
        for plate in plates
        if plate.can_be_drawn(frame)
    }
    with user_error("W&B did not take the run"):  # no key, no network, no such project: wandb raises many kinds
        run = wandb.init(
            entity=entity, project=name, mode=mode, id=f"{JOB}-{digest}", name=f"{JOB}: {archive.stem}", job_type=JOB,
            config={JOB: archive.name, "runs": int(frame["hash"].nunique())}, dir=str(folder),
            resume="allow" if mode == "online" else None, reinit="create_new", settings=wandb_process.settings(None),
        )  # fmt: skip
        logged = {
            key: wandb.Table(dataframe=table.astype(object).where(table.notna(), None)) for key, table in tables.items()
        }
        images = {key: wandb.Image(Image.open(data), caption=words) for key, (data, words) in pictures.items()}
        run.log(logged | images)
        run.log_artifact(files)
        run.finish()
    return f"{JOB}-{digest}"


def target(project: str) -> tuple[str | None, str]:
    """Return (entity, project) of PROJECT or ENTITY/PROJECT, from conf/config.yaml if it is empty."""
    settings = OmegaConf.load(conf_dir() / "config.yaml").wandb
    entity, _, name = project.rpartition("/")
    if "/" in entity or (project and not name):
        raise UserError(f"{project} is not a W&B project: give PROJECT or ENTITY/PROJECT.")
    return entity or settings.entity, name or settings.project


def make(project: str) -> dict[str, str]:
    """Save the report and the workspace in ENTITY/PROJECT on W&B's server; return their addresses by name.

    Raise UserError if `wandb_workspaces` is not installed or the server does not take them.
    """
    entity, _, name = project.partition("/")
    if not entity or not name or "/" in name:
        raise UserError(f"{project} is not ENTITY/PROJECT.")
    try:
        views = {"report": report(entity, name), "workspace": workspace(entity, name)}
    except ImportError as error:
        raise UserError('The dashboard needs a package: pip install "bayes-pruning[dashboard]".') from error
    with user_error("W&B did not take the dashboard"):
        return {kind: view.save().url for kind, view in views.items()}


def workspace(entity: str, project: str) -> Any:
    """Return what the project's page shows: runs grouped by GROUPS at the left, panels in three sections."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    tables: list[Any] = [wr.WeavePanelSummaryTable(table_name=key) for key in TABLES]
    return ws.Workspace(
        entity=entity,
        project=project,
        name="Bayesian pruning",
        sections=[
            ws.Section(name="Against epochs: means over seeds", panels=_curves(wr), is_open=True),
            ws.Section(name="Table 1 and the paper's claims", panels=tables, is_open=True),
            ws.Section(name="Figures 4 to 21", panels=_figures(wr), is_open=True),
        ],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=100),
        runset_settings=ws.RunsetSettings(groupby=[ws.Config(name) for name in GROUPS]),
    )


def report(entity: str, project: str) -> Any:
    """Return a page with Table 1, the claims, a set of runs for each data set and network, and Figures 4 to 21."""
    import wandb_workspaces.reports.v2 as wr

    blocks: list[Any] = [
        wr.P(
            "A curve is the mean over seeds. Tables and figures are those that scripts/publish.py --wandb has logged."
        ),
        wr.TableOfContents(),
    ]
    for key, title in TABLES.items():
        blocks += [wr.H1(title), wr.WeaveBlockSummaryTable(entity=entity, project=project, table_name=key)]
    blocks.append(wr.H1("Learning curves"))
    for dataset, model in itertools.product(DATASETS, MODELS):
        runs = wr.Runset(
            entity=entity, project=project, name=f"{NAMES[dataset]}, {NAMES[model]}",
            filters=f"Tags() in ['{dataset}'] and Tags() in ['{model}']",  # as runs/tracking.py tags them
            groupby=[f"config.{name}" for name in GROUPS],
        )  # fmt: skip
        blocks += [wr.H2(runs.name), wr.PanelGrid(runsets=[runs], panels=_placed(_curves(wr), 3, wr))]
    published = wr.Runset(entity=entity, project=project, name=JOB, filters=f"Metric('JobType') = '{JOB}'")
    blocks += [wr.H1("Figures 4 to 21"), wr.PanelGrid(runsets=[published], panels=_placed(_figures(wr), 2, wr))]
    return wr.Report(
        entity=entity, project=project, title="Pruning a neural network using Bayesian inference", blocks=blocks,
        description="Table 1, the paper's claims and Figures 4 to 21, from the runs of this project.", width="fluid",
    )  # fmt: skip


def _curves(wr: Any) -> list[Any]:
    """Return a panel for each of PANELS: a line is a mean over a group's runs, its band one standard deviation."""
    return [
        wr.LinePlot(
            title=title,
            x="epoch",
            y=[*columns],
            title_x="epoch",
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            line_titles=columns if len(columns) > 1 else None,
        )
        for title, columns in PANELS.items()
    ]


def _figures(wr: Any) -> list[Any]:
    return [wr.MediaBrowser(title=plate.title, media_keys=[_key(plate)]) for plate in catalogue.catalogue()]


def _placed(panels: list[Any], beside: int, wr: Any) -> list[Any]:
    """Return panels with their positions in a report, so many beside each other."""
    width = WIDTH // beside
    for i, panel in enumerate(panels):
        panel.layout = wr.Layout(x=i % beside * width, y=i // beside * HEIGHT, w=width, h=HEIGHT)
    return panels
