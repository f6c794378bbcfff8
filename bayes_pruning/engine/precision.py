"""How many bits the products of a stack have: `precision` and `deterministic` of conf/config.yaml.

    fp32   float32 operands
    tf32   float32 tensors, of whose mantissa the matrix units read 10 bits
    bf16   operands are rounded to bfloat16 (7 bits) just before a product, and what comes out is float32 again

Weights, gradients, Adam, activations and losses are float32 in each of them, log-likelihoods and log-priors are added
up in float64. A network is evaluated with the precision that it trains with: evaluation is half of the arithmetic.
"""

import os

import torch
from torch import Tensor

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.schema import BF16, FULL, TF32


def prepare(precision: str, deterministic: bool, device: torch.device) -> None:
    """Set torch up for training on `device`. On a CPU there is nothing to set: its runs repeat to the bit.

    Raises ConfigError for a precision that the device does not have: a CPU has no matrix units of fewer bits, and
    rounding for them would only take time.
    """
    if not isinstance(deterministic, bool):
        raise ConfigError("deterministic", deterministic, "true or false")
    if device.type == "cpu":
        if precision != FULL:
            raise ConfigError("precision", precision, f"only {FULL} on a CPU; the others need device=cuda")
        return
    mode = "tf32" if precision == TF32 else "ieee"
    torch.backends.cuda.matmul.fp32_precision = mode
    torch.backends.cudnn.conv.fp32_precision = mode  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(deterministic, warn_only=True)


def is_deterministic() -> bool:
    """Whether `prepare` was told so."""
    return torch.are_deterministic_algorithms_enabled()


def rounded(precision: str, *operands: Tensor) -> tuple[Tensor, ...]:
    """The operands of a product as `precision` has them."""
    return tuple(operand.bfloat16() for operand in operands) if precision == BF16 else operands
