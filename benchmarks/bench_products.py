"""Time which library multiplies faster on this processor, which bayes_pruning/engine/layers.py chooses.

    python benchmarks/bench_products.py

The products of the fully connected network's layers with one thread: forward (a batch by the weights) and the gradient
of the weights, as F.linear does them (MKL) and by oneDNN's inner product. Medians, in GFLOP/s.
"""

import argparse

import checkout  # noqa: F401  (so that the package is found)
import torch
import torch.nn.functional as F
from measuring import machine, median_seconds

from bayes_pruning.engine.layers import onednn_product

LAYERS = ((784, 256), (256, 128), (128, 10))
BATCHES = (64, 1000)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}, {torch.backends.cpu.get_cpu_capability()}, one thread\n")
    print("| weights | batch | MKL forward | oneDNN forward | MKL weight gradient | oneDNN weight gradient |")
    print("|---|---:|---:|---:|---:|---:|")
    for inputs, outputs in LAYERS:
        for batch in BATCHES:
            x, weight, gradient = torch.randn(batch, inputs), torch.randn(outputs, inputs), torch.randn(batch, outputs)
            cells = []
            for a, b in ((x, weight), (gradient.t(), x.t())):
                for product in (F.linear, onednn_product):
                    repeats = max(5, 10**9 // (batch * inputs * outputs))
                    seconds = median_seconds(lambda p=product, a=a, b=b: p(a, b), repeats)  # type: ignore[misc]
                    cells.append(f"{2 * batch * inputs * outputs / seconds / 1e9:.1f}")
            print(f"| {inputs} x {outputs} | {batch} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
