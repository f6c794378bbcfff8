"""Choose the runs of one table or figure: those of one protocol, one length, and one run a cell and seed.

A pruner need not read all of a protocol. An unpruned run is the baseline of every protocol; a pruner whose gate asks
for no evidence trains the same network whatever the Bayes factor is made of, so its runs serve every reading with the
same `regrow` and `prunes` (their columns of log-posteriors stay those of the protocol that they were run with).
"""

import pandas as pd

from bayes_pruning.config import presets
from bayes_pruning.config.errors import UserError
from bayes_pruning.results.cells import CELL, refuse_mixed_settings, refuse_shared_seeds
from bayes_pruning.results.declared import ALL, MASKS, NOTHING
from bayes_pruning.results.paper import UNPRUNED

READ = {NOTHING: 0, MASKS: 1, ALL: 5}  # how many parts of a protocol's text a run reads, from the left


def choose(frame: pd.DataFrame, protocol: str | None = None, epochs: int | None = None) -> pd.DataFrame:
    """Return the runs of one protocol and length, at most one a dataset, model, pruner, target_sparsity and seed.

    Args:
        protocol: a protocol's text, a part of it that fits one protocol only, or the name of a preset of
            conf/protocol; None if there is just one.
        epochs: how long the runs are; None if they are all of one length.

    Raise UserError if none is left, or if runs would be mixed: it names what there is to choose from, or two runs of a
    cell that differ in a setting which no table names.
    """
    if frame.empty:
        raise UserError("There is no finished run to choose from.")
    if epochs is not None:
        frame = of_length(frame, epochs)
    frame = of_length(of_protocol(frame, _one(protocols(frame), protocol)), None)
    refuse_mixed_settings(frame)
    refuse_shared_seeds(frame)
    return frame.reset_index(drop=True)


def read_out(frame: pd.DataFrame, epoch: int | None) -> pd.DataFrame:
    """Return the runs as they were after `epoch`, None for their last. Their column `trained` has their true length.

    Raise UserError if a run has no such epoch.
    """
    if epoch is None:
        return frame
    if not 1 <= epoch <= frame["epochs"].min():
        raise UserError(f"--epoch {epoch} fits not all runs: they have {lengths(frame)} epochs.")
    return frame[frame["epoch"] <= epoch].assign(epochs=epoch, trained=frame["epochs"])


def of_length(frame: pd.DataFrame, epochs: int | None) -> pd.DataFrame:
    """Return the runs of one length; with None the runs must be of one. Raise UserError if that is not so."""
    if epochs is not None:
        rows = frame[frame["epochs"] == epochs]
        if rows.empty:
            raise UserError(f"--epochs {epochs} fits no run: they have {lengths(frame)} epochs.")
        return rows
    if frame["epochs"].nunique() > 1:
        raise UserError(f"The runs have {lengths(frame)} epochs, which must not be mixed: choose with --epochs.")
    return frame


def protocols(frame: pd.DataFrame) -> list[str]:
    """Return the protocols that the runs follow; those that differ only in what no run reads count once."""
    texts: list[str] = []
    for read, text in sorted(set(_pairs(frame)), key=lambda pair: (-READ[pair[0]], pair[1])):
        if not any(_agree(read, text, other) for other in texts):
            texts.append(text)
    return sorted(texts)


def setting(frame: pd.DataFrame) -> str:
    """Return the protocol and length of the runs in words; unpruned runs stand for any protocol."""
    pruned = frame[frame["pruner"] != UNPRUNED]
    rows = frame if pruned.empty else pruned
    read = f"Read after epoch {lengths(rows)} of {lengths(rows, 'trained')}" if "trained" in rows else ""
    length = lengths(rows)
    return f"Protocol: {'; or '.join(protocols(rows))}. {read or f'{length} epoch' + 's' * (length != '1')}."


def of_protocol(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Return the runs that train the same network under `protocol`; where several do, that of this very protocol."""
    pairs = _pairs(frame)
    agree = {pair: _agree(*pair, protocol) for pair in set(pairs)}
    rows = frame[pd.Series([agree[pair] for pair in pairs], frame.index, dtype=bool)]
    texts = rows["protocol"].mask(rows["protocol"] == protocol, "")  # so that it comes first
    first = texts.groupby([rows[name] for name in (*CELL, "seed", "epochs")]).transform("min")
    return rows[texts == first]


def _pairs(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what each row's run reads of its protocol, and the protocol."""
    read, texts = (frame[column].to_numpy(object) for column in ("reads", "protocol"))  # quicker to go through
    return list(zip(read, texts, strict=True))


def _agree(read: str, one: str, other: str) -> bool:
    """Return whether two protocols are the same to a run that reads `read` of them."""
    return one.split(", ", 4)[: READ[read]] == other.split(", ", 4)[: READ[read]]


def _one(texts: list[str], asked: str | None) -> str:
    names = sorted(map(presets.name_of, texts), key=lambda name: (name != presets.BASE, name in texts, name))
    listed = ", ".join(f'"{name}"' if name in texts else name for name in names)  # a text where there is no short name
    if asked is None:
        if len(texts) > 1:
            raise UserError(f"The runs follow {len(texts)} protocols: choose with --protocol one of {listed}.")
        return texts[0]
    fitting = [text for text in texts if asked in (text, presets.name_of(text))] or [t for t in texts if asked in t]
    if len(fitting) != 1:
        fits = f"{len(fitting)} protocols" if fitting else "no protocol"
        raise UserError(f'Protocol "{asked}" fits {fits} of these runs: they follow {listed}.')
    return fitting[0]


def lengths(frame: pd.DataFrame, column: str = "epochs") -> str:
    """Return the different lengths of the runs in words: "8 or 25"."""
    return " or ".join(map(str, sorted(frame[column].unique())))
