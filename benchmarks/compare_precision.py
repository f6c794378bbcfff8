"""Whether runs of another precision end with the accuracies of fp32: paired differences over the seeds of each cell.

python benchmarks/compare_precision.py outputs/fp32 outputs/tf32            two folders of runs, or published archives
python benchmarks/compare_precision.py fp32.parquet tf32.parquet --all      every cell, not only those that differ

A cell is a data set, network, pruner and sparsity; its difference is second minus first, with a 95% t interval. With
no difference anywhere one interval in twenty leaves out zero all the same, so the verdict is on two numbers:
how many do, against what chance allows (one-sided binomial, 1%), and the mean over all cells with its own interval,
of which a cell's mean counts as one observation.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # the other scripts
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from precisions import compare, markdown

from bayes_pruning.results import frame
from bayes_pruning.results.selection import choose
from bayes_pruning.script import report_incomplete, run


def main() -> None:
    """Read both, print the comparison; exit status 1 if they can be told apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="runs in fp32: a folder of run folders, or an archive")
    parser.add_argument("second", type=Path, help="the same runs in another precision")
    parser.add_argument("--protocol", help="if the runs follow several protocols: which")
    parser.add_argument("--epochs", type=int, help="if the runs have different numbers of epochs: which")
    parser.add_argument("--all", action="store_true", help="list every cell")
    args = parser.parse_args()
    frames = []
    for source in (args.first, args.second):
        found = frame.load(source)
        report_incomplete(found)
        frames.append(choose(found.frame, args.protocol, args.epochs))
    comparison = compare(*frames)
    print(markdown(comparison, every=args.all), end="")
    if comparison.distinguishable:
        sys.exit(1)


if __name__ == "__main__":
    run(main)
