"""The command `bayes-pruning status`: `python scripts/status.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("status")
