"""Which runs may stand in one table or figure: those of one protocol, one length, and one run a cell and seed.

A pruner need not read all of a protocol. An unpruned run is the baseline of every protocol; a pruner whose gate is
always open asks neither which Bayes factor decides nor its threshold, so its runs serve every reading of these two.
"""

import pandas as pd

from bayes_pruning.errors import UserError
from bayes_pruning.logged import UNPRUNED

FIELDS = ("regrow", "decision", "scales", "beta", "prior")  # the parts of logged.protocol_text, in its order
UNREAD = {
    UNPRUNED: ("regrow", "decision", "beta"),
    "random": ("decision", "beta"),
    "magnitude": ("decision", "beta"),
}
CELL = ["dataset", "model", "pruner", "target_sparsity", "seed"]


def choose(frame: pd.DataFrame, protocol: str | None = None, epochs: int | None = None) -> pd.DataFrame:
    """The runs of one protocol and length, at most one a dataset, model, pruner, target_sparsity and seed.

    Args:
        frame: as results.load gives it.
        protocol: a protocol's text, or a part of it that fits one protocol only; None if there is just one.
        epochs: how long the runs are; None if they are all of one length.

    Raises UserError, naming what there is to choose from, if the runs would be mixed or none is left.
    """
    if frame.empty:
        raise UserError("There is no finished run to choose from.")
    if epochs is not None:
        lengths = _lengths(frame)
        frame = frame[frame["epochs"] == epochs]
        if frame.empty:
            raise UserError(f"--epochs {epochs} fits no run: they have {lengths} epochs.")
    frame = of_protocol(frame, _one(protocols(frame), protocol))
    if frame["epochs"].nunique() > 1:
        raise UserError(f"The runs have {_lengths(frame)} epochs, which must not be mixed: choose with --epochs.")
    _refuse_doubles(frame)
    return frame.reset_index(drop=True)


def protocols(frame: pd.DataFrame) -> list[str]:
    """The protocols that the runs follow; those that differ only in what no run reads count once."""
    found: list[str] = []
    for pruner, text in sorted(_pairs(frame), key=lambda pair: (len(UNREAD.get(pair[0], ())), pair[1])):
        if pruner == UNPRUNED and found:
            continue
        if not any(_agree(pruner, text, other) for other in found):
            found.append(text)
    return sorted(found)


def of_protocol(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The runs that are the same run under `protocol`, and for each seed an unpruned run, if there is one at all."""
    agreeing = {pair for pair in _pairs(frame) if _agree(*pair, protocol)}
    agrees = pd.Series([pair in agreeing for pair in zip(frame["pruner"], frame["protocol"], strict=True)], frame.index)
    unpruned = frame["pruner"] == UNPRUNED
    baseline = frame[unpruned].assign(other=~agrees[unpruned]).sort_values(["other", "protocol"], kind="stable")
    best = baseline.groupby(["dataset", "model", "seed", "epochs"])["protocol"].transform("first")
    kept = baseline.index[baseline["protocol"] == best]
    return frame[(agrees & ~unpruned) | frame.index.isin(kept)]


def _pairs(frame: pd.DataFrame) -> set[tuple[str, str]]:
    pairs = frame[["pruner", "protocol"]].drop_duplicates()
    return set(zip(pairs["pruner"], pairs["protocol"], strict=True))


def _agree(pruner: str, one: str, other: str) -> bool:
    """Whether two protocols are the same to `pruner`."""
    fields = zip(FIELDS, one.split(", ", 4), other.split(", ", 4), strict=True)
    return all(a == b for field, a, b in fields if field not in UNREAD.get(pruner, ()))


def _one(found: list[str], asked: str | None) -> str:
    listed = "; ".join(f'"{text}"' for text in found)
    if asked is None:
        if len(found) > 1:
            raise UserError(f"The runs follow {len(found)} protocols: choose with --protocol one of {listed}.")
        return found[0]
    fitting = [text for text in found if text == asked] or [text for text in found if asked in text]
    if len(fitting) != 1:
        fits = f"{len(fitting)} protocols" if fitting else "no protocol"
        raise UserError(f'--protocol "{asked}" fits {fits} of these runs: choose one of {listed}.')
    return fitting[0]


def _refuse_doubles(frame: pd.DataFrame) -> None:
    runs = frame.drop_duplicates("hash")
    doubles = runs[runs.duplicated(CELL, keep=False)]
    if not doubles.empty:
        first = doubles.iloc[0]
        same = doubles[(doubles[CELL] == first[CELL]).all(axis=1)]
        raise UserError(
            f"{' and '.join(same['run'])} have the same dataset, model, pruner, sparsity, seed and protocol "
            f"but differ in another setting (see their .hydra/config.yaml): keep them in separate folders."
        )


def _lengths(frame: pd.DataFrame) -> str:
    return " or ".join(str(length) for length in sorted(frame["epochs"].unique()))
