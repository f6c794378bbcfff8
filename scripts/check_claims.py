"""The command `bayes-pruning claims`: `python scripts/check_claims.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("claims")
