"""The command `bayes-pruning publish`: `python scripts/publish.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("publish")
