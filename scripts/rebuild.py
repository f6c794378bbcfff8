"""The command `bayes-pruning rebuild`: `python scripts/rebuild.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("rebuild")
