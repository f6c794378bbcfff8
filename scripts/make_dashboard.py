"""The command `bayes-pruning dashboard`: `python scripts/make_dashboard.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("dashboard")
