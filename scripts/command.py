"""Let the commands beside this file find the checkout's package, installed or not."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bayes_pruning.commands import call

__all__ = ["call"]
