import pytest

from bot.alerts.grammar import parse_rule
from bot.alerts.nearness import to_fire, to_rearm
from bot.analytics.metrics import METRICS
from tests.messages.pages import alert_view, context, market

# The ratio within a year: 0.4 at its farthest from 0.6, 0.55 now.
OF = context(market([50.0] * 250 + [40.0, 55.0]))


@pytest.mark.parametrize(
    ("text", "gap", "share"),
    [
        ("ratio > 0.6", 0.05, 0.75),
        ("ratio < 0.3", -0.25, 0.0),
        ("ratio crosses 0.6", 0.05, 0.75),
        ("ratio > 0.5", -0.05, 1.0),
        ("ratio > 0.6 and ratio > 0.8", 0.25, 0.375),  # the farthest condition
        ("ratio > 0.6 or ratio > 0.8", 0.05, 0.75),  # the nearest group
    ],
)
def test_how_far_a_rule_is_from_firing(text: str, gap: float, share: float) -> None:
    distance = to_fire(parse_rule(text, METRICS), OF.histories)
    assert distance is not None
    assert distance.gap == pytest.approx(gap)
    assert distance.share == pytest.approx(share)


def test_without_figures_there_is_no_distance() -> None:
    assert to_fire(parse_rule("flow iwm 5d > $1bn", METRICS), OF.histories) is None
    assert to_fire(parse_rule("ratio > 0.6 and flow iwm 5d > $1bn", METRICS), OF.histories) is None
    either = to_fire(parse_rule("ratio > 0.6 or flow iwm 5d > $1bn", METRICS), OF.histories)
    assert either is not None
    assert either.gap == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("text", "gap"),
    [
        ("ratio > 0.5 rearm 0.45", -0.10),
        ("ratio < 0.6 rearm 0.65", 0.10),
        ("ratio > 0.5 and ratio > 0.52", -0.03),  # any of a group re-arms it
        ("ratio > 0.5 or ratio > 0.52", -0.05),  # each group must have gone back
    ],
)
def test_how_far_a_rule_is_from_rearming(text: str, gap: float) -> None:
    alert = alert_view(text, OF)
    distance = to_rearm(alert.rule, alert.state, OF.histories)
    assert distance is not None
    assert distance.gap == pytest.approx(gap, abs=0.003)  # less the band
