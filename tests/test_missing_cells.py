"""A run computes the posteriors that something asks for; results read an empty cell as missing, never as a number."""

import math

import pandas as pd
import pytest
from synthetic import frame, runs

from bayes_pruning.figures import catalogue
from bayes_pruning.figures.learning_curves import learning_curves, learning_lines
from bayes_pruning.figures.style import STYLES
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.studies import exact_sparsity, formats, ranking_formats, replay, report
from bayes_pruning.studies.claims import verdicts
from bayes_pruning.studies.claims.rules import UNDECIDED
from bayes_pruning.studies.replay import Reading

EVIDENCE = ("log_likelihood_before", "log_prior_before", "log_likelihood", "log_prior", "log_bayes_factor")


def everything(seeds: int = 3, **metrics: float) -> pd.DataFrame:
    """All methods of a learning curve, with their twins."""
    cells = ["none", *(f"{name} 0.75" for name in ("random", "magnitude", "bayes_random", "bayes_magnitude"))]
    return frame(
        *(
            runs(f"mnist fcn {cell}", seeds, test_accuracy=lambda e, s: 0.9 + 0.001 * s + 0.01 * e, **metrics)
            for cell in cells
        )
    )


@pytest.fixture
def without_factors() -> pd.DataFrame:
    return everything(**dict.fromkeys(EVIDENCE, math.nan))


def test_ranking_and_tables_are_those_of_the_accuracies_alone(without_factors: pd.DataFrame) -> None:
    known, ranked = everything(), ranking_formats.ranking_of(without_factors)
    assert ranking_formats.csv_text(ranked) == ranking_formats.csv_text(ranking_formats.ranking_of(known))
    for _, render in formats.FORMATS.values():
        assert render(without_factors, True) == render(known, True)
    assert "nan" not in ranking_formats.markdown(ranked).replace("narrow", "")
    ranking_formats.figure(ranked, STYLES["paper"])
    assert report.table_rows(without_factors) == report.table_rows(known)
    assert exact_sparsity.accuracies(without_factors) == exact_sparsity.accuracies(known)


def test_claims_about_factors_are_undecided_and_the_others_as_they_were(without_factors: pd.DataFrame) -> None:
    about = ("random_fits_better", "bayes_factor_falls", "bayes_factor_rises")
    findings = verdicts.check(without_factors)
    for missing, known in zip(findings, verdicts.check(everything()), strict=True):
        if missing.claim in about and missing.where.startswith("Figure 4"):
            assert missing.verdict.outcome == UNDECIDED
            assert "were not computed" in missing.verdict.reason
        elif missing.claim not in about:
            assert missing == known
    assert "NaN" not in verdicts.as_json(findings, without_factors)


def test_curves_of_factors_that_were_not_computed_are_gaps_and_said_to_be(without_factors: pd.DataFrame) -> None:
    half = without_factors.assign(
        log_likelihood=-1.0,
        log_bayes_factor=without_factors["epoch"].map(lambda epoch: math.nan if epoch in (1, 4) else -(10.0**epoch)),
    )
    for runs_, known in ((without_factors, []), (half, [2, 3, 5, 6, 7, 8])):
        lines = learning_lines(runs_, "mnist", "fcn", 0.75)
        drawn = learning_curves(runs_, lines, "title", STYLES["paper"], "before")
        factors = drawn.axes[1].get_lines()
        assert len(factors) == (2 if known else 0)
        for line in factors:
            points = dict(zip(*line.get_data(), strict=True))
            assert list(points) == list(range(1, 9))
            assert [epoch for epoch, y in points.items() if not math.isnan(y)] == known
        said = drawn._supxlabel.get_text().replace("\n", " ")  # type: ignore[attr-defined]
        assert "Log Bayes factors not computed in every epoch: Bayes random, Bayes magnitude." in said
    whole = learning_curves(everything(), lines, "title", STYLES["paper"], "before")
    assert "not computed" not in whole._supxlabel.get_text()  # type: ignore[attr-defined]


def test_every_figure_is_drawn_of_runs_without_factors(without_factors: pd.DataFrame) -> None:
    plates = [plate for plate in catalogue.catalogue() if plate.can_be_drawn(without_factors)]
    assert len(plates) >= 2
    for plate in plates:
        plate.figure(without_factors, STYLES["paper"])


def test_a_decision_without_terms_is_not_replayed() -> None:
    own = Reading("sum", "sum", 0.5, 1.0)
    row = Decision(3, 0, math.log(0.5))
    assert replay.tested(row, own, own, 60_000, 1000) is None
    assert replay.first_difference([row], own, Reading("mean", "mean", 2.0, 1.0), 60_000, 1000) is None
