"""The command `bayes-pruning rank`: `python scripts/rank_readings.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("rank")
