"""The command `bayes-pruning replay`: `python scripts/replay_decisions.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("replay")
