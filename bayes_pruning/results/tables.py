"""Render tables as Markdown and as LaTeX by pandas, which takes tabulate and jinja2 for it."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd
from tabulate import DataRow, Line, TableFormat

ROW = DataRow("| ", " | ", " |")
COMPACT = TableFormat(  # GitHub's, without spaces that make columns even: a cell may be a paragraph
    None, Line("| ---", "", " | ---", " |"), None, None, ROW, ROW, padding=0, with_header_hide=None
)


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table of GitHub's Markdown; a cell is shown as its text."""
    texts = pd.DataFrame([list(map(_cell, row)) for row in rows], columns=list(map(_cell, header)))
    return f"{texts.to_markdown(index=False, tablefmt=COMPACT, disable_numparse=True, stralign=None)}\n"


def _cell(content: Any) -> str:
    """Return a cell's text; in it "|" would begin the next cell, and "<" a tag. Only <br>, of ours, is one."""
    return re.sub(r"<(?!br>)", "&lt;", str(content).replace("|", "\\|"))


def latex(header: Sequence[str], rows: Iterable[Sequence[str]], escape: Callable[[Any], str]) -> str:
    """Return a LaTeX tabular with booktabs' rules, one before each row whose first cell is not empty.

    Newlines part the lines of a cell, which then takes the package makecell; `escape` makes a text fit for LaTeX.
    """

    def cell(text: Any) -> str:
        lines = [escape(line) for line in text.splitlines()]
        text = " \\\\ ".join(lines).replace("\\\\ [", "\\\\ {}[")  # a bracket right behind it is the length of a gap
        return f"\\makecell[tl]{{{text}}}" if len(lines) > 1 else text

    table = pd.DataFrame(rows, columns=list(header)).style.hide(axis="index").format(cell)
    table = table.format(lambda text: f"\\midrule\n{cell(text)}" if text else "", subset=[header[0]])
    table = table.format_index(escape, axis=1)
    rules: Any = [{"selector": rule, "props": f":{rule}"} for rule in ("toprule", "bottomrule")]
    return table.set_table_styles(rules).to_latex(column_format="l" * len(header))
