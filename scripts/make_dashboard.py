"""Save a workspace and a report for the runs of a project on W&B's server; prints their addresses.

    python scripts/make_dashboard.py ENTITY/PROJECT

The workspace has the runs grouped by data set, network, pruner and sparsity, and panels of losses, accuracies, log
Bayes factor and sparsity against epochs. Table 1, the claims and Figures 4 to 21 are shown in both, as the run has them
that scripts/publish.py --wandb logs. The server is the one that `wandb login` or WANDB_BASE_URL names. Each call makes
a new workspace and a new report. Needs pip install "bayes-pruning[dashboard]".
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.script import run
from bayes_pruning.studies.dashboard import make


def main() -> None:
    """Save both, print where they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", metavar="ENTITY/PROJECT", help="where the runs are")
    for name, address in make(parser.parse_args().project).items():
        print(f"{name}: {address}")


if __name__ == "__main__":
    run(main)
