"""Rebuild everything that is published: tables, claims, ranking, figures, and the pages that quote them.

    python scripts/rebuild.py                                 what is committed, from outputs/published/*.parquet
    python scripts/rebuild.py --archive RUNS.parquet --out DIR               the study of the paper of other runs
    python scripts/rebuild.py --archive RUNS.parquet --out DIR --schedules   the study of schedules of other runs

What is made of another archive goes to DIR and into no page.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.config.errors import UserError
from bayes_pruning.figures.catalogue import write_bytes
from bayes_pruning.script import run, write_text
from bayes_pruning.studies.exact_sparsity import ScheduleStudy
from bayes_pruning.studies.publication import Publication, committed, filled

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "outputs" / "published"
STUDIES: list[tuple[Publication | ScheduleStudy, Path]] = [  # and the page that each fills
    (committed(PUBLISHED), ROOT / "docs" / "reproduction.md"),
    (ScheduleStudy(PUBLISHED / "schedules.parquet"), ROOT / "docs" / "bayesian_schedule.md"),
]


def main() -> None:
    """Read the archives, write all that comes from them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="of scripts/publish.py (default: those that are committed)")
    parser.add_argument("--out", type=Path, help="folder for what comes from --archive")
    parser.add_argument("--schedules", action="store_true", help="--archive holds runs of experiment=schedules")
    args = parser.parse_args()
    if (args.archive is None) != (args.out is None):
        raise UserError("--archive and --out go together: give both, or neither to rebuild what is committed.")
    if args.archive is not None:
        rebuild((ScheduleStudy if args.schedules else Publication)(args.archive), args.out)
        return
    for study, page in STUDIES:
        if not study.archive.exists():
            print(f"{study.archive}: nothing published yet, {page} is left as it is")
            continue
        rebuild(study, PUBLISHED)
        write_text(page, filled(page.read_text(encoding="utf-8"), study.blocks()))
        print(f"filled {page}")


def rebuild(study: Publication | ScheduleStudy, out: Path) -> None:
    """Write the texts and figures of a study."""
    texts, pictures = study.texts(), study.pictures()
    for name, text in texts.items():
        write_text(out / name, text)
    for name, data in pictures.items():
        write_bytes(out / "figures" / name, data)
    print(f"{out}: {', '.join(texts)} and {len(pictures)} figures, from {study.archive}")


if __name__ == "__main__":
    run(main)
