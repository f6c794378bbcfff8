"""Hold each statement of the paper's results and discussion against logged runs: holds, fails or undecided.

python scripts/check_claims.py                   runs in outputs/, Markdown on the terminal
python scripts/check_claims.py --format json     all numbers in full
python scripts/check_claims.py --out docs        claims.md and claims.json in docs/
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.script import add_source_arguments, load_source, run, write_text
from bayes_pruning.studies.claims import verdicts

FORMATS = {"markdown": (".md", verdicts.as_markdown), "json": (".json", verdicts.as_json)}


def main() -> None:
    """Read the runs, write the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source_arguments(parser)
    parser.add_argument("--format", choices=FORMATS, help="default: markdown; with --out: both")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write claims.* there instead of printing")
    args = parser.parse_args()
    frame = load_source(args).frame
    findings = verdicts.check(frame)
    if args.out is None:
        print(FORMATS[args.format or "markdown"][1](findings, frame), end="")
        return
    for name in [args.format] if args.format else FORMATS:
        suffix, render = FORMATS[name]
        path = args.out / f"claims{suffix}"
        write_text(path, render(findings, frame))
        print(path)
    print(verdicts.summary(findings))


if __name__ == "__main__":
    run(main)
