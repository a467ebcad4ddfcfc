from __future__ import annotations

import pytest

from bot.rendering.themes import DARK, LIGHT, THEMES, Look, Theme


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_and_lines_can_be_read_on_the_ground(theme: Theme) -> None:
    for colour in (theme.ink, theme.muted, *theme.lines):
        assert contrast(colour, theme.ground) >= 4.5


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_one_line_is_blue_and_the_other_is_not(theme: Theme) -> None:
    """Blue against orange differs along the axis that red-green blindness leaves intact."""
    first, second = ((int(colour[1:3], 16), int(colour[5:7], 16)) for colour in theme.lines)

    assert first[1] - first[0] > 100
    assert second[0] - second[1] > 100


def test_themes_are_found_by_name() -> None:
    assert THEMES == {"light": LIGHT, "dark": DARK}


@pytest.mark.parametrize(
    ("footer", "sample", "source"),
    [
        ("Source: Yahoo", False, "Source: Yahoo"),
        ("Source: Yahoo", True, "Sample data · Source: Yahoo"),
        ("Source: sample data", True, "Source: sample data"),
    ],
)
def test_sample_data_is_always_named_once(footer: str, sample: bool, source: str) -> None:
    assert Look("title", footer, sample=sample).source == source
