"""What another reading of the Bayes factor would have decided in logged runs, up to the first decision that differs.

python scripts/replay_decisions.py --beta 0.001,1                     other thresholds
python scripts/replay_decisions.py --log-prior mean --prior-std 1,10  other scales and priors, crossed
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.schema import RATIOS
from bayes_pruning.results.frame import load_ledgers, load_summaries
from bayes_pruning.script import run
from bayes_pruning.studies import replay


def main() -> None:
    """Read the ledgers, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="outputs", help="folder of runs, or a published archive")
    parser.add_argument("--beta", default="", help="thresholds, comma-separated")
    parser.add_argument("--prior-std", default="", help="standard deviations of the prior, comma-separated")
    parser.add_argument("--log-likelihood", default="", help="sum, mean or both")
    parser.add_argument("--log-prior", default="", help="sum, mean or both")
    parser.add_argument("--ratio", default="", help=f"one or more of {', '.join(RATIOS)}")
    args = parser.parse_args()
    choices = {
        "log_likelihood": replay.scales("--log-likelihood", args.log_likelihood),
        "log_prior": replay.scales("--log-prior", args.log_prior),
        "beta": replay.numbers("--beta", args.beta),
        "prior_std": replay.numbers("--prior-std", args.prior_std),
        "ratio": replay.ratios("--ratio", args.ratio),
    }
    if not any(choices.values()):
        raise UserError("Say what to replay: --beta, --prior-std, --log-likelihood, --log-prior or --ratio.")
    ledgers = load_ledgers(args.source)
    if not ledgers:
        raise UserError(f"{args.source} has no run whose gate asks for evidence: there is nothing to replay.")
    print(replay.as_markdown(replay.replay(ledgers, load_summaries(args.source), choices)), end="")


if __name__ == "__main__":
    run(main)
