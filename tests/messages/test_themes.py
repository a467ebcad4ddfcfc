from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from bot.messages.canvas import DARK, LIGHT, THEMES, ChartStyle, Theme


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
    first, second = ((int(colour[1:3], 16), int(colour[5:7], 16)) for colour in theme.lines[:2])

    assert first[1] - first[0] > 100
    assert second[0] - second[1] > 100


# Linear RGB as the eye without one kind of cone sees it (Machado, Oliveira and Fernandes 2009, severity 1).
BLINDNESS = {
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
    "none": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))


def seen(colour: str, blindness: str) -> np.ndarray:
    """CIE Lab of a colour as it is seen: equal distances look about equally different."""
    channels = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    xyz = np.array(TO_XYZ) @ np.clip(np.array(BLINDNESS[blindness]) @ linear, 0, 1)
    x, y, z = np.cbrt(xyz / (0.9505, 1.0, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_no_two_lines_look_alike_whatever_the_eye_lacks(theme: Theme, blindness: str) -> None:
    """Over 30: two just distinguishable colours are about 2 apart, and green and red under 10 for many."""
    lines = [seen(colour, blindness) for colour in theme.lines]

    assert len(lines) == 4
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(lines, 2)) > 30


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
    assert ChartStyle("title", footer, sample=sample).source == source
