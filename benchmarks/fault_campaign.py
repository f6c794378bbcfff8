"""Kill runs, start them again, and compare what they leave with undisturbed ones; exit status 1 if anything differs.

python benchmarks/fault_campaign.py                      200 kills, 10 to 20 minutes on two cores
python benchmarks/fault_campaign.py --kills 20 --seed 1

A third of the commands are single runs, a third sweeps of two stacks, and a third such sweeps with two workers, which
are killed, or the command with them. SIGKILL and SIGTERM take turns, and so do the
phases of a run: training, evaluation, start, checkpoint, rows, weights, summary, any time. One kill in nine hits a
real `python train.py`, the others a fork of this process, which has torch imported already.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from checkout import ROOT
from tqdm import tqdm

sys.path.insert(0, str(ROOT / "tests"))

from faults.campaign import Campaign


def main() -> None:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of what is killed when (default: 0)")
    parser.add_argument(
        "--real-every", type=int, default=9, metavar="N", help="each N-th kill, 0 for none (default: 9)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the result also as JSON")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    campaign = Campaign(folder, args.seed, args.real_every)
    campaign.prepare()
    with tqdm(total=args.kills, unit="kill", mininterval=1 if sys.stderr.isatty() else 30) as bar:
        report = campaign.run(args.kills, bar.update)
    print(report.markdown())
    if args.json:
        args.json.write_text(json.dumps({"seed": args.seed, **report.plain()}, indent=2))
    if report.faults:
        sys.exit(f"The folders of cycles with faults are in {folder}.")


if __name__ == "__main__":
    main()
