"""Table 1 of the paper from logged runs: test accuracy before and after pruning, beside the paper's values.

python scripts/make_table.py                                     runs in outputs/, Markdown on the terminal
python scripts/make_table.py outputs/published/table1.parquet    a published archive
python scripts/make_table.py --wandb ENTITY/PROJECT              from the W&B server
python scripts/make_table.py --compare --out docs                table1.md, table1.tex and table1.csv in docs/
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.script import add_source_arguments, load_source, run, write_text
from bayes_pruning.studies.formats import FORMATS


def main() -> None:
    """Read the runs, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source_arguments(parser)
    parser.add_argument(
        "--compare",
        action="store_true",
        help="add each Bayes method minus its classic twin and controls, paired by seed",
    )
    parser.add_argument("--against", metavar="PRUNER", help="add each other method minus this one, paired by seed")
    parser.add_argument("--format", choices=FORMATS, help="default: markdown; with --out: all of them")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write table1.* there instead of printing")
    args = parser.parse_args()
    frame = load_source(args).frame
    if args.out is None:
        print(FORMATS[args.format or "markdown"][1](frame, args.compare, args.against), end="")
        return
    for name in [args.format] if args.format else FORMATS:
        suffix, render = FORMATS[name]
        path = args.out / f"table1{suffix}"
        write_text(path, render(frame, args.compare, args.against))
        print(path)


if __name__ == "__main__":
    run(main)
