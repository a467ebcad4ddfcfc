"""What a benchmark returns: a figure, that of a peer in the same run, and the goal.

Each module that `python -m benchmarks` runs has one function for it:

    def run(quick: bool = False) -> list[Result]

Figures are medians of at least five; with `quick` everything is small, to see that it works, and the figures
say little. It runs in a process of its own. An error that it raises becomes a row of the table. A peer that
is not installed is stated with its figure of last time, and `note` says so.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A figure with its goal: at most, or at least, so many times the peer's or, without one, so much.

    goal   None: the figure is only stated
    note   what else to know about it, e.g. "ffn of last time"
    """

    name: str
    figure: float
    unit: str
    goal: float | None = None
    peer: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the peer's the figure is."""
        return None if self.peer is None else self.figure / self.peer

    @property
    def holds(self) -> bool:
        """Whether the goal is reached."""
        if self.goal is None:
            return True
        reached = self.figure if self.ratio is None else self.ratio
        return reached >= self.goal if self.at_least else reached <= self.goal

    @property
    def bound(self) -> str:
        """The goal in words."""
        if self.goal is None:
            return ""
        times = "" if self.peer is None else " times"
        return f"at {'least' if self.at_least else 'most'} {self.goal:g}{times}"

    @property
    def verdict(self) -> str:
        """Whether the goal is met, in words."""
        if self.goal is None:
            return "stated"
        return "met" if self.holds else "NOT MET"

    def __str__(self) -> str:
        beside = "" if self.peer is None else f"beside {number(self.peer)}: {self.ratio:.2f} times"
        row = f"{self.name:60} {number(self.figure):>7} {self.unit:9}{beside:30}{self.bound:22}{self.verdict}"
        return f"{row}  ({self.note})" if self.note else row


def compared(
    name: str, unit: str, figures: Iterable[float], peers: Iterable[float], goal: float, *, at_least: bool = False
) -> Result:
    """Return the medians of both sides of one run."""
    figure, peer = statistics.median(figures), statistics.median(peers)
    return Result(name, figure, unit, goal, peer, at_least)


def number(value: float) -> str:
    """Return a figure with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
