"""Check the statements of the paper's results and discussion against logged runs: each holds, fails or is undecided.

`check` runs every claim of learning_curves.py and sparsities.py (sparsities, Table 1, discussion)
on a tidy frame; how a claim is decided is said in rules.py.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from bayes_pruning.results.cells import Cells
from bayes_pruning.results.paper import NAMES
from bayes_pruning.results.selection import protocols, setting
from bayes_pruning.results.tables import markdown
from bayes_pruning.studies.claims import learning_curves, sparsities  # noqa: F401  (they register their claims)
from bayes_pruning.studies.claims.rules import CLAIMS, FAILS, HOLDS, UNDECIDED, Claim, Undecidable, Verdict, Where

OUTCOMES = (HOLDS, FAILS, UNDECIDED)
HOW = (
    "Each number is a mean over seeds with its 95% t interval, of differences paired by seed where two methods are "
    "compared; the intervals of a claim that consists of several hold together in 95% of the cases (Bonferroni). A "
    "claim holds if the whole interval is on the side that the paper says, fails if none of it is, and is undecided in "
    "between, with fewer than three seeds, or without runs. Losses and accuracies are those before pruning unless a "
    "claim says otherwise. The Bayes factor is that of the runs' own reading. Accuracies are similar if they differ by "
    "less than 2.8 deviations of the unpruned seeds: if that deviation were known, two runs that differ in their seed "
    "alone would be similar in 95 of 100 pairs; with one that is estimated from fifteen seeds they are in 93, from ten "
    "in 92, from five in 88, from three in 81."
)


@dataclass(frozen=True)
class Finding:
    """Hold a claim, the figure or block that makes it, and what the runs say."""

    claim: str
    where: str  # e.g. "Figure 4: MNIST FCN, bayes_magnitude"
    statement: str
    rule: str
    verdict: Verdict


def check(frame: pd.DataFrame, claims: Mapping[str, Claim] = CLAIMS) -> list[Finding]:
    """Check claims on runs of one protocol (selection.choose), in the order of the figures that make them."""
    runs = Cells(frame)
    cases = [(claim, where, arguments) for claim in claims.values() for where, arguments in claim.cases]
    return [_finding(runs, *case) for case in sorted(cases, key=lambda case: _rank(case[1]))]


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """Return how many claims hold, fail and are undecided."""
    return {outcome: sum(finding.verdict.outcome == outcome for finding in findings) for outcome in OUTCOMES}


def as_markdown(findings: Sequence[Finding], frame: pd.DataFrame) -> str:
    """Return the findings as one table, and the rules."""
    rows = [(f.where, f.statement, f"**{f.verdict.outcome}**", "<br>".join(told(f.verdict)), f.claim) for f in findings]
    rules = "".join(f"- {claim.name}: {claim.rule}\n" for claim in CLAIMS.values())
    return (
        f"# The paper's claims\n\n{summary(findings)} {setting(frame)}\n\n{HOW}\n\n"
        f"{markdown(('Where', 'The paper', 'Verdict', 'Numbers', 'Claim'), rows)}\n## When a claim holds\n\n{rules}"
    )


def as_json(findings: Sequence[Finding], frame: pd.DataFrame) -> str:
    """Return the findings, their numbers with as many digits as all processors agree on."""
    contents: dict[str, Any] = {
        "counts": counts(findings),
        "protocol": protocols(frame),
        "epochs": sorted(int(epochs) for epochs in frame["epochs"].unique()),
        "findings": [{**{k: v for k, v in asdict(f).items() if k != "verdict"}, **asdict(f.verdict)} for f in findings],
    }
    return json.dumps(json.loads(json.dumps(contents), parse_float=_rounded), indent=2) + "\n"


def _rounded(number: str) -> float:
    return float(f"{round(float(number), 12):.10g}")


def summary(findings: Sequence[Finding]) -> str:
    """Return '80 checks of 29 claims: 10 hold, 12 fail, 58 undecided.'"""
    by_outcome = counts(findings)
    return (
        f"{len(findings)} checks of {len(CLAIMS)} claims: {by_outcome[HOLDS]} hold, {by_outcome[FAILS]} fail, "
        f"{by_outcome[UNDECIDED]} undecided."
    )


def _finding(runs: Cells, claim: Claim, where: Where, arguments: tuple[Any, ...]) -> Finding:
    try:
        verdict = claim.function(runs, where, *arguments)
    except Undecidable as missing:
        verdict = Verdict(UNDECIDED, reason=str(missing))
    block = f"{where.label}: {NAMES[where.dataset]} {NAMES[where.model]}"
    return Finding(claim.name, ", ".join([block, *map(str, arguments)]), claim.statement, claim.rule, verdict)


def _rank(where: Where) -> tuple[int, int]:
    """Return what the places of claims are sorted by: figures by number, then Table 1."""
    kind, number = where.label.split()
    return (("Figure", "Table").index(kind), int(number))


def told(verdict: Verdict) -> list[str]:
    """Return a verdict's numbers, each as a line of text, or the reason why it has none."""
    return [*map(str, verdict.numbers), *([verdict.reason] if verdict.reason else [])]
