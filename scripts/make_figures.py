"""The command `bayes-pruning figures`: `python scripts/make_figures.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("figures")
