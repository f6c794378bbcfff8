"""One self-contained HTML page from logged runs: table, figures, claims, versions, commands. It opens offline.

python scripts/make_report.py                                  runs in outputs/, page report.html
python scripts/make_report.py RUNS --mnist mnist_5k --out page.html
"""

import argparse
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.figures.catalogue import catalogue
from bayes_pruning.script import add_source_arguments, load_source, run, write_text
from bayes_pruning.studies import report


def main() -> None:
    """Read the runs, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source_arguments(parser)
    parser.add_argument("--mnist", choices=("mnist", "mnist_5k"), default="mnist", help="runs for the MNIST figures")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page (default: report.html)")
    args = parser.parse_args()
    found = load_source(args)
    made = [] if args.wandb else report.origins(args.source, found.frame)
    command = shlex.join(["python", "scripts/make_report.py", *sys.argv[1:]])
    text = report.page(found.frame, catalogue(args.mnist), found.incomplete, command, made)
    write_text(args.out, text)
    print(f"{args.out}: {len(text) / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)
