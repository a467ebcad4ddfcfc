"""The send budget in use; 10,000 messages are `python -m tests.budget`."""

import logging

import pytest

from tests.budget.simulation import Load, run


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_limits_and_halts_are_kept_and_used_and_replies_and_alerts_go_first(
    share: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    outcome = run(Load(private=40, each_person=12, groups=6, each_group=24), share)
    second, minute = outcome.busiest()
    assert (second, minute) <= (30, 20)
    assert (outcome.over_a_second(), outcome.in_halts()) == (0, 0)
    assert outcome.missing() == 0
    assert outcome.ideal() / outcome.seconds >= (0.95 if share == 0 else 0.9)
    assert outcome.overtakes()
