"""Give the commands over logged runs what they share: which runs they read, and errors of one sentence."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from bayes_pruning.config.errors import UserError, end_with_closed_output, user_error
from bayes_pruning.results import frame
from bayes_pruning.results.selection import choose, read_out


def add_source_arguments(parser: argparse.ArgumentParser, one_protocol: bool = True) -> None:
    """Add the arguments that say which runs a script reads; `load_source` takes the parsed ones.

    Without `one_protocol` they are of a script that reads runs of all protocols, and `load_all` takes them.
    """
    group = parser.add_argument_group("which runs")
    group.add_argument(
        "source",
        nargs="?",
        default="outputs",
        help="a folder of runs, a folder of W&B offline runs, or a published archive (default: outputs)",
    )
    group.add_argument("--wandb", metavar="ENTITY/PROJECT", help="read the runs from the W&B server instead")
    group.add_argument(
        "--filters",
        metavar="JSON",
        help='with --wandb: only runs that match, as wandb.Api().runs() takes it, e.g. \'{"group": "table1"}\'',
    )
    if one_protocol:
        group.add_argument(
            "--protocol",
            help="if the runs follow several protocols: which (a name in conf/protocol, its text or a part)",
        )
    group.add_argument("--epochs", type=int, help="if the runs have different numbers of epochs: which")
    group.add_argument("--epoch", type=int, help="read the runs as they were after this epoch (default: the last)")


def load_source(args: argparse.Namespace) -> frame.Results:
    """Return the finished runs that the arguments ask for, all of one protocol and length, one run a cell and seed.

    Runs that are left out because they are not finished are named on standard error. Raise UserError if the source
    can not be read, has no finished run, or has runs that must not be mixed and no argument says which to take.
    """
    results = load_all(args)
    return frame.Results(read_out(choose(results.frame, args.protocol, args.epochs), args.epoch), results.incomplete)


def load_all(args: argparse.Namespace) -> frame.Results:
    """Return the same as `load_source`, but with every protocol and length that there is."""
    results = frame.load(args.source, wandb=args.wandb, filters=_filters(args))
    report_incomplete(results)
    if results.frame.empty:
        raise UserError(
            f"{args.wandb or args.source} has no finished run: train some with train.py, or name another source."
        )
    return results


def report_incomplete(results: frame.Results) -> None:
    """Name on standard error the runs that are left out because they are not finished."""
    for name, reason in results.incomplete:
        print(f"left out: {name} ({reason})", file=sys.stderr)


def _filters(args: argparse.Namespace) -> dict[str, Any] | None:
    if args.filters is None:
        return None
    if args.wandb is None:
        raise UserError("--filters is for runs on the W&B server: give --wandb ENTITY/PROJECT too.")
    with user_error(f"--filters {args.filters} is not JSON", json.JSONDecodeError):
        filters = json.loads(args.filters)
    if not isinstance(filters, dict):
        raise UserError(f'--filters {args.filters} is not a JSON object such as {{"group": "table1"}}.')
    return filters


def run(main: Callable[[], None]) -> None:
    """Call `main`; an error that a user can mend becomes its sentence on standard error and exit status 1.

    So does, without a word, output that nothing reads any more.
    """
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        end_with_closed_output()
    except UserError as error:
        sys.exit(str(error))
