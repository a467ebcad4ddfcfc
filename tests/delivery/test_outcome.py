from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from bot.delivery.outcome import GIVE_UP_AGE, GIVE_UP_SENDS, REPEATS


def test_the_waits_of_all_sends_outlast_the_day_after_which_a_message_may_be_given_up() -> None:
    sends = range(1, GIVE_UP_SENDS)
    waits = [REPEATS.wait(number - 1) for number, _ in pairwise(sends)]
    assert sum(waits, timedelta()) >= GIVE_UP_AGE
