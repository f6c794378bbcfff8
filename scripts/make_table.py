"""The command `bayes-pruning table`: `python scripts/make_table.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("table")
