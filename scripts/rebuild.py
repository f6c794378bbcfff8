"""Rebuild everything that is published from an archive: table, claims, ranking, figures, and the pages that quote them.

python scripts/rebuild.py                                          what is committed, from outputs/published/fcn.parquet
python scripts/rebuild.py --archive RUNS.parquet --out DIR --pages none of the committed files, for a look
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

from bayes_pruning.figures import write_bytes
from bayes_pruning.publication import Publication, filled
from bayes_pruning.script import run, write_text

ROOT = Path(__file__).resolve().parents[1]
ARCHIVE = ROOT / "outputs" / "published" / "fcn.parquet"
PAGES = [ROOT / "docs" / "reproduction.md"]


def main() -> None:
    """Read the archive, write all that comes from it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, default=ARCHIVE, help="of scripts/publish.py")
    parser.add_argument("--out", type=Path, help="folder for tables and figures (default: the archive's)")
    parser.add_argument("--pages", type=Path, nargs="*", default=PAGES, help="pages to fill")
    args = parser.parse_args()
    publication, out = Publication(args.archive), args.out or args.archive.parent
    for name, text in publication.texts().items():
        write_text(out / name, text)
    for name, data in publication.pictures().items():
        write_bytes(out / "figures" / name, data)
    for page in args.pages:
        write_text(page, filled(page.read_text(encoding="utf-8"), publication.blocks()))
    print(f"{out}: tables, claims, ranking and figures; filled: {', '.join(map(str, args.pages)) or 'no page'}")


if __name__ == "__main__":
    run(main)
