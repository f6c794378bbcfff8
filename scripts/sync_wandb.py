"""The command `bayes-pruning sync`: `python scripts/sync_wandb.py --help` says what it does."""

from command import call

if __name__ == "__main__":
    call("sync")
