"""What is published is what the published runs give: tables, claims and ranking beside the archive, and the pages."""

import math
import re
from pathlib import Path

import pytest
from conftest import ROOT

from bayes_pruning.decisions import log_ratio
from bayes_pruning.errors import UserError
from bayes_pruning.publication import Publication, filled

FOLDER = ROOT / "outputs" / "published"


@pytest.fixture(scope="module")
def publication() -> Publication:
    return Publication(FOLDER / "fcn.parquet")


def test_the_committed_tables_are_those_of_the_committed_runs(publication: Publication) -> None:
    for name, text in publication.texts().items():
        assert (FOLDER / name).read_text() == text, f"{name} is out of date: run python scripts/rebuild.py"


def test_the_page_quotes_the_committed_runs(publication: Publication) -> None:
    page = (ROOT / "docs" / "reproduction.md").read_text()
    assert "<!-- begin ranking -->" in page
    assert filled(page, publication.blocks()) == page, "out of date: run python scripts/rebuild.py"


def test_by_the_quotient_of_the_logs_no_gate_would_have_closed_in_any_classic_run(publication: Publication) -> None:
    """So the runs of `of_logs` that were not trained are these: up to the first closing the two are one program."""
    classic = publication.runs[publication.runs["pruner"].isin(["random", "magnitude"])]
    assert len(classic.drop_duplicates("hash")) == 2 * 2 * 5 * 5  # data sets, selectors, sparsities, seeds
    after = classic["log_likelihood"] + classic["log_prior"]
    before = classic["log_likelihood_before"] + classic["log_prior_before"]
    tested = [log_ratio(*pair, "of_logs") for pair in zip(after, before, strict=True)]
    assert min(tested) > math.log(0.98)  # beta is 0.5


@pytest.mark.parametrize("page", ["README.md", "docs/reproduction.md"])
def test_every_picture_of_a_page_is_there(page: str) -> None:
    path = ROOT / page
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", path.read_text())
    assert len(shown) >= 2
    for picture in shown:
        assert (path.parent / picture).is_file()


def test_a_block_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='no block "nothing"'):
        filled("<!-- begin nothing -->\nold\n<!-- end nothing -->", {"something": str})
    assert filled("a <!-- begin x -->old<!-- end x --> b", {"x": lambda: "new"}) == (
        "a <!-- begin x -->\n\nnew\n<!-- end x --> b"
    )
