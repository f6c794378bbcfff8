"""Figures 4 to 21 of the paper, and accuracy before and after pruning against sparsity, from logged runs.

python scripts/make_figures.py                                   runs in outputs/, all figures into figures/
python scripts/make_figures.py --only fig04,fig05 --format svg   some of them
python scripts/make_figures.py RUNS --mnist mnist_5k             the MNIST figures from runs of mnist_5k
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.figures.catalogue import catalogue, chosen, write
from bayes_pruning.figures.style import STYLES
from bayes_pruning.script import add_source_arguments, load_source, run


def main() -> None:
    """Read the runs, write the figures that they allow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source_arguments(parser)
    parser.add_argument("--only", metavar="NAMES", default="", help="how their names start, e.g. fig04,fig05,accuracy")
    parser.add_argument("--format", metavar="FORMATS", default="pdf,png", help="pdf, png, svg (default: pdf,png)")
    parser.add_argument(
        "--style",
        choices=STYLES,
        default="paper",
        help="sizes for a page, a paper's column or slides (default: %(default)s)",
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


if __name__ == "__main__":
    run(main)
