"""Pack the finished runs of a folder into one archive, with their configs, command lines and versions.

    python scripts/publish.py outputs --out outputs/published/table1.parquet
    python scripts/publish.py --wandb                  and log Table 1, the claims, figures and archive as one W&B run

The archive serves all scripts in place of the folder it was made from. The W&B run is kept offline, in the folder
`wandb` beside the runs, until scripts/sync_wandb.py uploads it; --wandb online uploads it at once.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.results.frame import publish
from bayes_pruning.results.selection import choose
from bayes_pruning.script import report_incomplete, run


def main() -> None:
    """Read the folder, write the archive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="outputs", type=Path, help="folder of runs (default: outputs)")
    parser.add_argument("--out", type=Path, default=Path("outputs/published/runs.parquet"), help="default: %(default)s")
    parser.add_argument(
        "--wandb",
        nargs="?",
        const="offline",
        choices=("offline", "online"),
        help="log a W&B run too (default: offline)",
    )
    parser.add_argument(
        "--project",
        metavar="[ENTITY/]PROJECT",
        default="",
        help="with --wandb: default: wandb.project of conf/config.yaml",
    )
    parser.add_argument("--protocol", help="with --wandb, if the runs follow several protocols: which")
    args = parser.parse_args()
    found = publish(args.source, args.out)
    report_incomplete(found)
    print(f"{args.out}: {found.frame['hash'].nunique()} runs, {args.out.stat().st_size / 1024:.0f} KB")
    if args.wandb:
        from bayes_pruning.studies.dashboard import log_publication

        logged = log_publication(choose(found.frame, args.protocol), args.out, args.project, args.wandb, args.source)
        print(f"W&B run {logged}, {args.wandb}")


if __name__ == "__main__":
    run(main)
