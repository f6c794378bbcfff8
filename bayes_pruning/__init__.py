"""Pruning neural networks while they train, with a Bayes factor that decides when (Mathew and Rowe, 2023).

`from bayes_pruning import BayesPruner` is the method for a training loop of your own. The packages, each of which may
import those before it, and not those after:

    config -> data, models -> engine -> pruning -> training -> runs -> results -> figures -> studies
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["BayesPruner"]


def __getattr__(name: str) -> Any:
    """Return what takes torch, which not every command needs, when it is first asked for."""
    if name == "BayesPruner":
        from bayes_pruning.pruning.pruner import BayesPruner

        return BayesPruner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
