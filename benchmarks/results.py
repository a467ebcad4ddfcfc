"""What a benchmark returns: a figure, that of a peer in the same run, and the goal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A figure with its goal: at most, or at least, so many times the peer's or, without one, so much."""

    name: str
    figure: float
    unit: str
    goal: float
    peer: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times the peer's the figure is."""
        return None if self.peer is None else self.figure / self.peer

    @property
    def holds(self) -> bool:
        """Whether the goal is reached."""
        reached = self.figure if self.ratio is None else self.ratio
        return reached >= self.goal if self.at_least else reached <= self.goal

    def __str__(self) -> str:
        peer = "" if self.peer is None else f"beside {self.peer:.3g}: {self.ratio:.2f} times"
        bound = (
            f"at {'least' if self.at_least else 'most'} {self.goal:g}{'' if self.peer is None else ' times'}"
        )
        verdict = "holds" if self.holds else "DOES NOT HOLD"
        return f"{self.name:48}{self.figure:9.3g} {self.unit:7}{peer:28}{bound:18}{verdict}"
