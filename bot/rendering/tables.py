"""Tables for a `<pre>` block on a phone: at most 34 columns, so that no line wraps.

The first column is left-aligned, all others are right-aligned. Cells are text already, as
`Unit.show` makes it (minus is U+2212, one column wide like every character here).
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.analytics.units import NOT_AVAILABLE

WIDTH = 34  # characters of a fixed-width line on a narrow phone at the default text size

Cells = Sequence[str | None]


class TableWidthError(ValueError):
    """The columns do not fit, which is a mistake of the caller."""


def table(header: Cells, rows: Sequence[Cells], width: int = WIDTH) -> str:
    """Lines of a table under a header. None in a cell is shown as "n/a".

    Columns stand two apart where that fits, else one. A label too long for its column (a window
    "since 2020-09-30") stands on a line of its own above its figures; so may all of them. Raises
    TableWidthError when the figures do not fit, ValueError when a row has not as many cells as the header.
    """
    grid = [[NOT_AVAILABLE if cell is None else cell for cell in row] for row in (header, *rows)]
    if any(len(row) != len(header) for row in grid):
        raise ValueError(f"every row needs {len(header)} cells, as the header {list(header)} has")
    figures = [max(len(row[column]) for row in grid) for column in range(1, len(header))]
    label = max((len(row[0]) for row in grid if len(row[0]) <= _room(figures, 1, width)), default=0)
    gap = 2 if _room(figures, 2, width) >= label else 1
    if _room(figures, 1, width) < 0 or any(len(row[0]) > width for row in grid):
        raise TableWidthError(f"the table under {list(header)} does not fit {width} columns")
    widths = [label, *figures]
    return "\n".join(line for row in grid for line in _lines(row, widths, " " * gap))


def _room(figures: Sequence[int], gap: int, width: int) -> int:
    """Columns left for the label beside the figures."""
    return width - sum(figures) - gap * len(figures)


def _lines(row: Sequence[str], widths: Sequence[int], gap: str) -> list[str]:
    """One line, or two if the label is longer than its column."""
    label, *figures = row
    cells = [figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True)]
    if len(label) > widths[0]:
        return [label, gap.join([" " * widths[0], *cells]).rstrip()]
    return [gap.join([label.ljust(widths[0]), *cells]).rstrip()]
