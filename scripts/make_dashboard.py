"""The command `bayes-pruning dashboard`: `python scripts/make_dashboard.py --help` says what it does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.commands import call

if __name__ == "__main__":
    call("dashboard")
