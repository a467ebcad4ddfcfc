"""Presets: rules that can be chosen by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A rule with the name and the sentence it is offered under; the sentence is a template of the pair."""

    name: str
    rule: str
    meaning: str


PRESETS = (
    Preset(
        "Trend breaks",
        "ratio > sma 200 confirm 2",
        "{small}/{large} closes above its 200-day average twice in a row.",
    ),
    Preset(
        "Small caps lead",
        "excess 3m > 5pp",
        "{small} is ahead of {large} by more than 5 points in three months.",
    ),
    Preset(
        "Money turns",
        "flow_gap 20d crosses 0",
        "Flows of 20 days, in percent of assets, change sides between the funds.",
    ),
    Preset(
        "Too expensive",
        "pe_premium > pct 90",
        "{small}'s P/E premium over {large} is above nine tenths of its own history.",
    ),
    Preset(
        "Rotation",
        "ratio > sma 200 and flow_gap 20d > 0 and pe_premium < pct 90",
        "Trend and flows favour {small}, and its premium is not yet extreme.",
    ),
)


def preset_of(text: str) -> Preset | None:
    """The preset of that name, however it is written; None when there is none."""
    name = " ".join(text.lower().split())
    return next((preset for preset in PRESETS if preset.name.lower() == name), None)
