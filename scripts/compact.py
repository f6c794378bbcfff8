"""The command `bayes-pruning compact`: `python scripts/compact.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("compact")
