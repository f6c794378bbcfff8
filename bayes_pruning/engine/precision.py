"""What torch is told before a stack trains: `precision`, `deterministic` and `compile` of conf/config.yaml.

    fp32   float32 operands
    tf32   float32 tensors, of whose mantissa the matrix units of a GPU read 10 bits

All tensors are float32 in both, and log-likelihoods and log-priors are added up in float64. A network is evaluated with
the precision that it trains with: evaluation is half of the arithmetic.
"""

import os
import warnings

import torch

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.schema import FULL, TF32


def prepare(precision: str, deterministic: bool, device: torch.device, compiled: bool = False) -> None:
    """Set torch up for training on `device`. On a CPU there is nothing to set: its runs repeat to the bit.

    Raises ConfigError for a precision that the device does not have: a CPU has no matrix units of fewer bits, and
    rounding for them would only take time. Nor is anything compiled for a CPU, where steps are a member's own.
    """
    for field, value in (("deterministic", deterministic), ("compile", compiled)):
        if not isinstance(value, bool):
            raise ConfigError(field, value, "true or false")
    if device.type == "cpu":
        if precision != FULL:
            raise ConfigError("precision", precision, f"only {FULL} on a CPU; tf32 needs device=cuda")
        if compiled:
            raise ConfigError("compile", compiled, "only false on a CPU; true needs device=cuda")
        return
    if device.index is not None:
        torch.cuda.set_device(device)  # what names no device, such as a recording, is then on this one
    with warnings.catch_warnings():
        # Torch has two sets of names for this. Setting the older one sets the newer one too, but not the other way
        # round, and torch refuses to read an older one (its compiler does) that differs from the newer one.
        warnings.filterwarnings("ignore", message="Please use the new API settings")
        torch.backends.cuda.matmul.allow_tf32 = precision == TF32
        torch.backends.cudnn.allow_tf32 = precision == TF32
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
