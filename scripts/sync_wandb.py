"""Upload offline W&B runs to W&B's server; the exit status is 1 if one was not uploaded, and it says which and why.

python scripts/sync_wandb.py                          runs of outputs/
python scripts/sync_wandb.py --outputs DIR            runs of another output_dir

A run that was resumed is uploaded once, whole. What is uploaded is marked, and skipped the next time. The server is the
one that `wandb login` or WANDB_BASE_URL names.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.config.errors import UserError
from bayes_pruning.results.wandb_upload import upload


def main() -> None:
    """Upload and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), metavar="DIR", help="default: outputs")
    folder = parser.parse_args().outputs
    try:
        uploaded, failed = upload(folder / "wandb", folder)
    except UserError as error:
        sys.exit(str(error))
    print(f"{len(uploaded)} uploaded")
    for name, reason in failed.items():
        print(f"not uploaded: {name} ({reason})", file=sys.stderr)
    if failed:
        sys.exit(f"{len(failed)} of {len(failed) + len(uploaded)} runs were not uploaded.")


if __name__ == "__main__":
    main()
