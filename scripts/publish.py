"""Pack the finished runs of a folder into one archive, with their configs, command lines and versions.

    python scripts/publish.py outputs --out outputs/published/table1.parquet

The archive serves all scripts in place of the folder it was made from.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.results.frame import publish
from bayes_pruning.script import report_incomplete, run


def main() -> None:
    """Read the folder, write the archive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="outputs", type=Path, help="folder of runs (default: outputs)")
    parser.add_argument("--out", type=Path, default=Path("outputs/published/runs.parquet"), help="default: %(default)s")
    args = parser.parse_args()
    found = publish(args.source, args.out)
    report_incomplete(found)
    print(f"{args.out}: {found.frame['hash'].nunique()} runs, {args.out.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    run(main)
