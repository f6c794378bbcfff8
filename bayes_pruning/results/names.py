"""How tables, figures and pages write data sets, networks, pruners and fractions."""

NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "mnist_5k": "MNIST (5,000)",
    "fcn": "FCN",
    "cnn": "CNN",
}


def display_name(name: str) -> str:
    """Return a data set, model or pruner as people read it: 'bayes_random' -> 'Bayes Random'."""
    return NAMES.get(name, name.replace("_", " ").title())


def percent(fraction: float, decimals: int = 8) -> str:
    """Return a fraction as a percentage without idle zeros: 0.25 -> '25%', 0.725 -> '72.5%'.

    Args:
        fraction: from 0 to 1.
        decimals: how many a measured fraction is rounded to. It gets more where it would otherwise read as 0% or as
            100% and is not, so 0.9996 is '99.96%' and 0.00024 is '0.02%'.
    """
    value = 100 * fraction
    while 0 < fraction < 1 and round(value, decimals) in (0.0, 100.0) and decimals < 12:
        decimals += 1
    return f"{round(value, decimals):.12g}%"
