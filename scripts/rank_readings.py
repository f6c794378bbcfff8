"""Rank the readings of the paper by the likelihood of its Table 1 under each, with gates and claims.

python scripts/rank_readings.py outputs/published/fcn.parquet     Markdown on the terminal
python scripts/rank_readings.py --out docs                        readings.md, .csv, .pdf and .png in docs/
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.figures.catalogue import render, write_bytes
from bayes_pruning.figures.style import STYLES
from bayes_pruning.results.selection import of_length
from bayes_pruning.script import add_source_arguments, load_all, run, write_text
from bayes_pruning.studies import ranking_formats


def main() -> None:
    """Read the runs of all readings, write the ranking."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source_arguments(parser, one_protocol=False)
    parser.add_argument("--out", type=Path, metavar="DIR", help="write readings.* there instead of printing")
    args = parser.parse_args()
    found = ranking_formats.ranking_of(of_length(load_all(args).frame, args.epochs), args.epoch)
    if args.out is None:
        print(ranking_formats.markdown(found), end="")
        return
    write_text(args.out / "readings.md", ranking_formats.markdown(found))
    write_text(args.out / "readings.csv", ranking_formats.csv_text(found))
    style = STYLES["paper"]
    for suffix in ("pdf", "png"):
        write_bytes(args.out / f"readings.{suffix}", render(ranking_formats.figure(found, style), style, suffix))
    print(f"{args.out}/readings.md, .csv, .pdf, .png")


if __name__ == "__main__":
    run(main)
