"""The words of charts, in this process or, as a job, in the chart process."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

from matplotlib.figure import Figure
from matplotlib.text import Text

from bot.messages import canvas

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from bot.messages.charts import Drawing


def leave_out_drawing(patch: pytest.MonkeyPatch, png: Callable[[Figure], bytes]) -> None:
    """Make charts that are neither laid out nor drawn, which takes longest; `png` gives their picture."""
    patch.setattr(canvas, "png", png)
    patch.setattr(Figure, "draw_without_rendering", lambda _: None)


def chart_texts(drawings: Sequence[Drawing]) -> list[list[str]]:
    """Of each chart the titles, ticks, end labels, names of levels, notes and stamp.

    The charts are not laid out, which takes longest and changes no word.
    """
    with patch.object(canvas, "png", return_value=b"") as png, patch.object(Figure, "draw_without_rendering"):
        for drawing in drawings:
            drawing()
    figures = [call.args[0] for call in png.call_args_list]
    return [[text.get_text() for text in figure.findobj(Text)] for figure in figures]
