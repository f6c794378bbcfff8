"""Serve the command line `bayes-pruning COMMAND ...`; the files of scripts/ are the same commands by older names.

A command is a function of an argument parser, which has the command's own docstring as its description. It imports
what it needs when it is called, so that `bayes-pruning status` waits for no torch and `table` for no figures.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bayes_pruning.config.errors import UserError, listed
from bayes_pruning.runs.files import write_file
from bayes_pruning.script import add_source_arguments, load_all, load_source, report_incomplete, run

Command = Callable[[argparse.ArgumentParser], None]
Formats = Mapping[str, tuple[str, Callable[..., str]]]  # by name: a file's suffix, and what renders the text
COMMANDS: dict[str, Command] = {}


def command(function: Command) -> Command:
    """Make a function a command under its own name (a decorator)."""
    COMMANDS[function.__name__] = function
    return function


def main() -> None:
    """Run the installed `bayes-pruning`: the first argument names the command."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        lines = [f"  {known:10}{(function.__doc__ or '').splitlines()[0]}" for known, function in COMMANDS.items()]
        print("usage: bayes-pruning COMMAND ...", "", *lines, "", "bayes-pruning COMMAND --help says more.", sep="\n")
    elif name in COMMANDS:
        sys.argv = [f"bayes-pruning {name}", *arguments]
        call(name)
    else:
        sys.exit(f"There is no command {name}: the commands are {', '.join(COMMANDS)}.")


def call(name: str) -> None:
    """Run a command with the arguments of sys.argv; an error that a user can mend ends the program in its sentence."""
    function = COMMANDS[name]
    raw = argparse.RawDescriptionHelpFormatter
    run(lambda: function(argparse.ArgumentParser(description=function.__doc__, formatter_class=raw)))


def add_output_arguments(parser: argparse.ArgumentParser, name: str, formats: Formats) -> None:
    """Add the arguments that say in which format something is shown and where; `show` takes the parsed ones."""
    parser.add_argument("--format", choices=formats, help="default: markdown; with --out: all of them")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"write {name}.* there instead of printing")


def show(args: argparse.Namespace, name: str, formats: Formats, *content: Any) -> None:
    """Print what a format's renderer makes of `content`; with --out write it to files called `name` instead."""
    if args.out is None:
        print(formats[args.format or "markdown"][1](*content), end="")
        return
    for chosen in [args.format] if args.format else formats:
        suffix, render = formats[chosen]
        write_file(args.out / f"{name}{suffix}", render(*content))
        print(args.out / f"{name}{suffix}")


@command
def train(_: argparse.ArgumentParser) -> None:
    """Train one run, or with -m a sweep of runs: the arguments are those of train.py."""
    from bayes_pruning.cli import main

    main()


@command
def status(_: argparse.ArgumentParser) -> None:
    """Say how far the runs of a grid are: the same overrides as train takes with -m, nothing is trained."""
    from bayes_pruning.cli import main

    how = ("-m", "--multirun", "hydra/launcher=", "hydra.launcher.", "+hydra.launcher.")  # of training, not which runs
    given = [argument for argument in sys.argv[1:] if not argument.startswith(how)]
    # beside the first override, because Hydra takes overrides in one place only: before its options or after them
    first = next((i for i, argument in enumerate(given) if "=" in argument and argument[0] != "-"), len(given))
    sys.argv = [sys.argv[0], "-m", *given[:first], "hydra/launcher=status", *given[first:]]
    main()


@command
def table(parser: argparse.ArgumentParser) -> None:
    """Write Table 1 of the paper from logged runs: accuracy before and after pruning, beside the paper's values.

    python scripts/make_table.py                                     runs in outputs/, Markdown on the terminal
    python scripts/make_table.py outputs/published/mnist_cnn.parquet a published archive
    python scripts/make_table.py --wandb ENTITY/PROJECT              from the W&B server
    python scripts/make_table.py --compare --out docs                table1.md, table1.tex and table1.csv in docs/
    """
    from bayes_pruning.studies.formats import FORMATS

    add_source_arguments(parser)
    add_output_arguments(parser, "table1", FORMATS)
    parser.add_argument(
        "--compare",
        action="store_true",
        help="add each Bayes method minus its classic twin and controls, paired by seed",
    )
    args = parser.parse_args()
    show(args, "table1", FORMATS, load_source(args).frame, args.compare)


@command
def figures(parser: argparse.ArgumentParser) -> None:
    """Draw Figures 4 to 21 of the paper, and accuracy before and after pruning against sparsity, from logged runs.

    python scripts/make_figures.py                                   runs in outputs/, all figures into figures/
    python scripts/make_figures.py --only fig04,fig05 --format svg   some of them
    python scripts/make_figures.py RUNS --mnist mnist_5k             the MNIST figures from runs of mnist_5k
    """
    from bayes_pruning.figures.catalogue import catalogue, chosen, write
    from bayes_pruning.figures.style import STYLES

    add_source_arguments(parser)
    parser.add_argument("--only", metavar="NAMES", default="", help="how their names start, e.g. fig04,fig05,accuracy")
    parser.add_argument("--format", metavar="FORMATS", default="pdf,png", help="pdf, png, svg (default: pdf,png)")
    parser.add_argument(
        "--style", choices=STYLES, default="paper", help="sizes for a page, a column or slides (default: paper)"
    )
    parser.add_argument(
        "--loss", choices=("before", "after"), default="before", help="test loss before or after pruning"
    )
    parser.add_argument("--mnist", choices=("mnist", "mnist_5k"), default="mnist", help="runs for the MNIST figures")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder to write to (default: figures)")
    args = parser.parse_args()
    plates = chosen(catalogue(args.mnist), args.only)
    for line in write(load_source(args).frame, plates, args.out, args.format, STYLES[args.style], args.loss):
        print(line)


@command
def claims(parser: argparse.ArgumentParser) -> None:
    """Hold each statement of the paper's results and discussion against logged runs: holds, fails or undecided.

    python scripts/check_claims.py                   runs in outputs/, Markdown on the terminal
    python scripts/check_claims.py --format json     all numbers in full
    python scripts/check_claims.py --out docs        claims.md and claims.json in docs/
    """
    from bayes_pruning.studies.claims import verdicts

    formats = {"markdown": (".md", verdicts.as_markdown), "json": (".json", verdicts.as_json)}
    add_source_arguments(parser)
    add_output_arguments(parser, "claims", formats)
    args = parser.parse_args()
    frame = load_source(args).frame
    findings = verdicts.check(frame)
    show(args, "claims", formats, findings, frame)
    if args.out is not None:
        print(verdicts.summary(findings))


@command
def report(parser: argparse.ArgumentParser) -> None:
    """Write one HTML page of logged runs: table, figures, claims, versions, commands. It opens offline.

    python scripts/make_report.py                                  runs in outputs/, page report.html
    python scripts/make_report.py RUNS --mnist mnist_5k --out page.html
    """
    from bayes_pruning.figures.catalogue import catalogue
    from bayes_pruning.studies import report

    add_source_arguments(parser)
    parser.add_argument("--mnist", choices=("mnist", "mnist_5k"), default="mnist", help="runs for the MNIST figures")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page (default: report.html)")
    args = parser.parse_args()
    results = load_source(args)
    made_with = [] if args.wandb else report.origins(args.source, results.frame)
    program = "bayes-pruning report" if sys.argv[0] == "bayes-pruning report" else "python scripts/make_report.py"
    typed = f"{program} {shlex.join(sys.argv[1:])}"
    text = report.page(results.frame, catalogue(args.mnist), results.incomplete, typed, made_with)
    write_file(args.out, text)
    print(f"{args.out}: {len(text) / 1e6:.1f} MB")


@command
def publish(parser: argparse.ArgumentParser) -> None:
    """Pack the finished runs of a folder into one archive, with their configs, command lines and versions.

        python scripts/publish.py outputs --out outputs/published/table1.parquet
        python scripts/publish.py --wandb              and log Table 1, the claims, figures and archive as one W&B run

    An archive that exists is added to: the runs that it holds stay in it, even if their folders are gone. The archive
    serves all scripts in place of the folder it was made from. The W&B run is kept offline, in the folder
    `wandb` beside the runs, until scripts/sync_wandb.py uploads it; --wandb online uploads it at once.
    """
    import pandas as pd

    from bayes_pruning.results.frame import load, publish
    from bayes_pruning.results.run_records import is_run_folder
    from bayes_pruning.results.selection import choose

    parser.add_argument("source", nargs="?", default="outputs", type=Path, help="folder of runs (default: outputs)")
    parser.add_argument("--out", type=Path, default=Path("outputs/published/runs.parquet"), help="default: %(default)s")
    modes = ("offline", "online")
    parser.add_argument(
        "--wandb", nargs="?", const=modes[0], choices=modes, help="log a W&B run too (default: offline)"
    )
    project = "with --wandb: default: wandb.project of conf/config.yaml"
    parser.add_argument("--project", metavar="[ENTITY/]PROJECT", default="", help=project)
    parser.add_argument("--protocol", help="with --wandb, if the runs follow several protocols: which")
    args = parser.parse_args()
    if args.wandb:  # before anything is written
        from bayes_pruning.studies.dashboard import log_publication, target

        target(args.project)
        parts = [load(args.source).frame, *([load(args.out).frame] if args.out.exists() else [])]
        choose(pd.concat(parts).drop_duplicates(["hash", "epoch"]), args.protocol)
    elif args.project or args.protocol is not None:
        raise UserError("--project and --protocol are for a run on W&B: give --wandb too.")
    published, kept = publish(args.source, args.out)
    report_incomplete(published)
    runs, size = published.frame["hash"].nunique(), args.out.stat().st_size / 1024
    print(f"{args.out}: {runs} runs, {runs - kept} new and {kept} kept from before, {size:.0f} KB")
    if args.wandb:
        runs_in = args.source.resolve().parent if is_run_folder(args.source) else args.source  # where sync looks
        logged = log_publication(choose(published.frame, args.protocol), args.out, args.project, args.wandb, runs_in)
        print(f"W&B run {logged}, {args.wandb}")


@command
def dashboard(parser: argparse.ArgumentParser) -> None:
    """Save a workspace and a report for the runs of a project on W&B's server; print their addresses.

        python scripts/make_dashboard.py ENTITY/PROJECT

    The workspace has the runs grouped by data set, network, pruner, sparsity, protocol and length, and panels of
    losses, accuracies, log Bayes factor and sparsity against epochs. Both have Table 1, the claims and Figures 4 to 21,
    as the run has them that scripts/publish.py --wandb logs. The server is the one that `wandb login` or WANDB_BASE_URL
    names. Each call makes a new workspace and a new report. Needs pip install "bayes-pruning[dashboard]".
    """
    from bayes_pruning.studies.dashboard import make

    parser.add_argument("project", metavar="ENTITY/PROJECT", help="where the runs are")
    for name, address in make(parser.parse_args().project).items():
        print(f"{name}: {address}")


@command
def sync(parser: argparse.ArgumentParser) -> None:
    """Upload offline W&B runs to W&B's server; the exit status is 1 if one was not uploaded, with the reason.

    python scripts/sync_wandb.py                          runs of outputs/
    python scripts/sync_wandb.py --outputs DIR            runs of another output_dir

    A run that was resumed is uploaded once, whole. What is uploaded is marked, and skipped the next time. The server is
    the one that `wandb login` or WANDB_BASE_URL names.
    """
    from bayes_pruning.results.wandb_upload import upload

    parser.add_argument("--outputs", type=Path, default=Path("outputs"), metavar="DIR", help="default: outputs")
    folder = parser.parse_args().outputs
    uploaded, failed = upload(folder / "wandb", folder)
    print(f"{len(uploaded)} uploaded")
    for name, reason in failed.items():
        print(f"not uploaded: {name} ({reason})", file=sys.stderr)
    if failed:
        sys.exit(f"{len(failed)} of {len(failed) + len(uploaded)} runs were not uploaded.")


@command
def rank(parser: argparse.ArgumentParser) -> None:
    """Rank the readings of the paper by the likelihood of its Table 1 under each, with gates and claims.

    python scripts/rank_readings.py outputs/published/fcn.parquet     Markdown on the terminal
    python scripts/rank_readings.py --out docs                        readings.md, .csv, .pdf and .png in docs/
    """
    from bayes_pruning.figures.catalogue import render
    from bayes_pruning.figures.style import STYLES
    from bayes_pruning.results.selection import of_length
    from bayes_pruning.studies import ranking_formats

    add_source_arguments(parser, one_protocol=False)
    parser.add_argument("--out", type=Path, metavar="DIR", help="write readings.* there instead of printing")
    args = parser.parse_args()
    ranked = ranking_formats.ranking_of(of_length(load_all(args).frame, args.epochs), args.epoch)
    if args.out is None:
        print(ranking_formats.markdown(ranked), end="")
        return
    write_file(args.out / "readings.md", ranking_formats.markdown(ranked))
    write_file(args.out / "readings.csv", ranking_formats.csv_text(ranked))
    style = STYLES["paper"]
    for suffix in ("pdf", "png"):
        write_file(args.out / f"readings.{suffix}", render(ranking_formats.figure(ranked, style), style, suffix))
    print(f"{args.out}/readings.md, .csv, .pdf, .png")


@command
def replay(parser: argparse.ArgumentParser) -> None:
    """Replay what another reading of the Bayes factor would have decided, up to the first decision that differs.

    python scripts/replay_decisions.py --beta 0.001,1                     other thresholds
    python scripts/replay_decisions.py --log-prior mean --prior-std 1,10  other scales and priors, crossed
    """
    from bayes_pruning.config.schema import RATIOS
    from bayes_pruning.results.frame import load_ledgers, load_summaries
    from bayes_pruning.studies import replay

    parser.add_argument("source", nargs="?", default="outputs", help="folder of runs, or a published archive")
    parser.add_argument("--beta", default="", help="thresholds, comma-separated")
    parser.add_argument("--prior-std", default="", help="standard deviations of the prior, comma-separated")
    parser.add_argument("--log-likelihood", default="", help="sum, mean or both")
    parser.add_argument("--log-prior", default="", help="sum, mean or both")
    parser.add_argument("--ratio", default="", help=f"one or more of {', '.join(RATIOS)}")
    args = parser.parse_args()
    choices: dict[str, list[Any]] = {
        "beta": replay.numbers("--beta", args.beta),
        "prior_std": replay.numbers("--prior-std", args.prior_std),
    }
    for field, known in (("log_likelihood", replay.SCALES), ("log_prior", replay.SCALES), ("ratio", RATIOS)):
        if text := getattr(args, field):
            choices[field] = listed(f"--{field.replace('_', '-')}", text, known)
    if not any(choices.values()):
        raise UserError("Say what to replay: --beta, --prior-std, --log-likelihood, --log-prior or --ratio.")
    replayed = replay.replay(load_ledgers(args.source), load_summaries(args.source), choices)
    if not replayed:
        raise UserError(
            f"{args.source} has no run whose gate holds the paper's ratio against beta: there is nothing to replay."
        )
    print(replay.as_markdown(replayed), end="")


@command
def rebuild(parser: argparse.ArgumentParser) -> None:
    """Rebuild everything that is published: tables, claims, ranking, figures, and the pages that quote them.

        python scripts/rebuild.py                                 what is committed, from outputs/published/*.parquet
        python scripts/rebuild.py --archive RUNS.parquet --out DIR               the study of the paper of other runs
        python scripts/rebuild.py --archive RUNS.parquet --out DIR --schedules   the study of schedules of other runs

    What is made of another archive goes to DIR and into no page.
    """
    from bayes_pruning.studies.publication import Publication, ScheduleStudy, studies_in, write

    parser.add_argument(
        "--archive", type=Path, nargs="+", help="of scripts/publish.py (default: those that are committed)"
    )
    parser.add_argument("--out", type=Path, help="folder for what comes from --archive")
    parser.add_argument("--schedules", action="store_true", help="--archive holds runs of experiment=schedules")
    args = parser.parse_args()
    if (args.archive is None) != (args.out is None):
        raise UserError("--archive and --out go together: give both, or neither to rebuild what is committed.")
    if args.schedules and args.archive is None:
        raise UserError("--schedules says what --archive holds: give --archive and --out too, or leave it out.")
    if args.archive is not None:
        study = (ScheduleStudy if args.schedules else Publication)(args.archive)
        print(*write([(study, None)], args.out), sep="\n")
        return
    root = Path(__file__).resolve().parents[1]
    published, docs = root / "outputs" / "published", root / "docs"
    paper, schedules = studies_in(published)
    if not (paper.archives or schedules.archives):
        raise UserError(f"{published} has no archive of a study: rebuild in a checkout, or give --archive and --out.")
    print(*write([(paper, docs / "reproduction.md"), (schedules, docs / "bayesian_schedule.md")], published), sep="\n")


@command
def compact(parser: argparse.ArgumentParser) -> None:
    """Measure networks of finished runs without their dead units: size, operations and CPU time.

    python scripts/compact.py outputs/RUN                    two tables on the terminal, nothing written
    python scripts/compact.py outputs/*-0.99-*               several runs, a row each
    python scripts/compact.py outputs/RUN --out compacted    also the network: compacted/RUN/compact.safetensors, .json

    A mask alone makes nothing faster: the column "masked" times the network with its zeros in it. docs/compact.md
    explains the columns.
    """
    from bayes_pruning.studies.compact_measures import measure

    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write each compacted network to a folder below DIR")
    parser.add_argument("--data-root", help="where torchvision's files are (default: as in the run's config)")
    parser.add_argument("--rounds", type=int, default=31, help="of timing (default: %(default)s)")
    args = parser.parse_args()
    if args.rounds < 1:
        raise UserError(f"--rounds {args.rounds} is not accepted: it takes a whole number of at least 1.")
    measure(args.runs, args.out, args.data_root, args.rounds)
