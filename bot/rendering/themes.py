"""Light and dark: the colours of charts, and what every chart carries around its lines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours of a chart. Text, labels and lines have a contrast of 4.5 or more on the ground."""

    name: str
    ground: str
    ink: str
    muted: str
    grid: str
    # Blue, orange, ink and stone are distinct with every kind of colour blindness. Two lines use the first.
    lines: tuple[str, str, str, str]


LIGHT = Theme(
    "light", "#FFFFFF", "#1B1F24", "#59616B", "#DFE3E8", ("#0067A5", "#B84A00", "#1B1F24", "#7A6A6A")
)
DARK = Theme("dark", "#15191E", "#ECEFF2", "#A6AFB9", "#333B45", ("#56B4E9", "#F0A030", "#ECEFF2", "#938A80"))
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


@dataclass(frozen=True)
class ChartStyle:
    """Title, source and date, theme and sample label of one chart."""

    title: str
    footer: str  # "Source: Yahoo · close of Fri 11 Dec 2020"
    theme: Theme = LIGHT
    sample: bool = False

    @property
    def source(self) -> str:
        """The footer, saying "sample data" when the numbers are."""
        if not self.sample or "sample data" in self.footer.lower():
            return self.footer
        return f"Sample data · {self.footer}"
