"""Train, beside each finished Bayes run, its matched control: pruned as often, in epochs drawn at random.

python scripts/run_controls.py                                        all Bayes runs in outputs/
python scripts/run_controls.py --only mnist-fcn-bayes_random --device cpu

Like any sweep it shows its progress, skips what is finished and goes on where it was stopped.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.config.errors import RunFailed, UserError
from bayes_pruning.runs import sweep
from bayes_pruning.script import run
from bayes_pruning.studies.controls import matched_job


def main() -> None:
    """Plan the controls, train them, print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", nargs="?", default="outputs", type=Path, help="folder of runs (default: outputs)")
    parser.add_argument("--only", default="", help="how the names of the Bayes runs start")
    parser.add_argument("--protocol", help="name of the protocol of the Bayes runs; all if not given")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--data-root", help="folder of the images, if it is not where the Bayes runs found them")
    parser.add_argument("--progress", default="auto", help="auto, bar, lines or none")
    parser.add_argument("--max-members", type=int, help="runs in a stack; as many as memory takes if not given")
    args = parser.parse_args()
    if not args.outputs.is_dir():
        raise UserError(f"{args.outputs} does not exist: name a folder of runs.")
    settings = {"output_dir": str(args.outputs), "device": args.device, "progress": args.progress}
    if args.data_root:
        settings["data_root"] = args.data_root
    folders = sorted(folder for folder in args.outputs.iterdir() if folder.name.startswith(args.only))
    jobs = [job for folder in folders if (job := matched_job(folder, settings)) is not None]
    jobs = [job for job in jobs if args.protocol in (None, job.run.protocol.name)]
    if not jobs:
        raise UserError(f"{args.outputs} has no finished Bayes run to make a control for.")
    started = time.monotonic()
    outcomes = sweep.run_sweep(jobs, args.max_members)
    print(sweep.summary(jobs, outcomes, time.monotonic() - started))
    if failed := sweep.failures(outcomes):
        raise RunFailed(failed)


if __name__ == "__main__":
    run(main)
