from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bot.delivery.settle import FIRST_REST, FIRST_WAIT, GIVE_UP_AGE, GIVE_UP_SENDS, LONGEST_REST, grown

HOUR = timedelta(hours=1)


def test_waits_are_spread_by_up_to_a_quarter() -> None:
    assert [grown(FIRST_WAIT, HOUR, 2, jitter).total_seconds() for jitter in (0.0, 0.4, 1.0)] == [20, 22, 25]


@given(st.integers(0, 100_000), st.floats(0, 1))
def test_waits_grow_and_have_an_end(times: int, jitter: float) -> None:
    assert grown(FIRST_WAIT, HOUR, times, jitter) <= grown(FIRST_WAIT, HOUR, times + 1, jitter) <= HOUR * 1.25


def test_the_rests_of_all_sends_outlast_the_day_after_which_a_message_may_be_given_up() -> None:
    sends = range(1, GIVE_UP_SENDS)
    rests = [grown(FIRST_REST, LONGEST_REST, number - 1, 0.0) for number, _ in pairwise(sends)]
    assert sum(rests, timedelta()) >= GIVE_UP_AGE
