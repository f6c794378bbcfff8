"""Figures 4 to 21 of the paper, and one that it lacks: accuracy before and after pruning against sparsity.

Each figure is a pure function of the tidy frame (results.py): frame -> matplotlib Figure. Lines are means over seeds,
bands one standard deviation (n - 1 in its denominator). What has no runs is not drawn, and the small print of each
figure says so, with the number of seeds and the protocol.

The paper's text to Figures 4 to 21 speaks of pruning "under a Bayesian framework", so they draw the Bayes methods.
"""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayes_pruning.accuracy_figure import accuracy_figure
from bayes_pruning.errors import ConfigError, UserError, one_of
from bayes_pruning.plot_style import DATASETS, METHOD_LOOKS, METHODS, MODELS, Look, Style, percent, sparsity_looks, style

