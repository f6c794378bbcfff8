"""The command `bayes-pruning report`: `python scripts/make_report.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("report")
