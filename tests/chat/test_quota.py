"""How much one person may ask, and what is said beyond."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from bot.chat.dispatch import COMMANDS_PER_MINUTE, Quota
from tests.chat.talk import GROUP, ME, NOW, YOU

if TYPE_CHECKING:
    from tests.chat.talk import Talk


async def test_thirty_commands_a_minute_then_one_line_then_silence(talk: Talk) -> None:
    for _ in range(COMMANDS_PER_MINUTE):
        talk.api.say(ME, "/about")
    assert len(await talk.answers()) == COMMANDS_PER_MINUTE
    talk.now = NOW + dt.timedelta(seconds=20)
    (line,) = await talk.ask("/about")
    assert line.text == "You have sent more than 30 commands in a minute; please wait 40 seconds."
    for typed in ("/about", "hello", "/alert"):
        assert await talk.ask(typed) == []
    assert (await talk.ask("/about", YOU))[0].text.startswith("About")
    talk.now = NOW + dt.timedelta(seconds=60)
    assert (await talk.ask("/about"))[0].text.startswith("About")


async def test_buttons_are_on_the_quota_too_and_said_over_the_chat(talk: Talk) -> None:
    (page,) = await talk.ask("/start")
    for _ in range(COMMANDS_PER_MINUTE - 1):
        talk.api.say(ME, "/about")
    await talk.answers()
    assert await talk.press(page, "Help") == await talk.press(page, "Help") == []
    assert talk.notes() == ["You have sent more than 30 commands in a minute; please wait 60 seconds."]


async def test_a_groups_talk_is_on_nobodys_quota(talk: Talk) -> None:
    for _ in range(3 * COMMANDS_PER_MINUTE):
        talk.api.say(GROUP, "good morning", user_id=ME)
        talk.api.say(GROUP, "/about@other_bot", user_id=ME)
    assert await talk.answers() == []
    assert (await talk.ask("/about", GROUP, user_id=ME))[0].text.startswith("About")


async def test_administrators_who_hide_are_on_their_groups_quota(talk: Talk) -> None:
    for _ in range(COMMANDS_PER_MINUTE + 5):
        talk.api.say(GROUP, "/about", anonymous=True)
    assert len(await talk.answers()) == COMMANDS_PER_MINUTE + 1
    (elsewhere,) = await talk.ask("/about", GROUP - 1, anonymous=True)
    assert elsewhere.text.startswith("About")


def test_a_quota_survives_a_clock_that_is_put_back() -> None:
    now = NOW
    quota = Quota(lambda: now, count=2)
    assert [quota.admits(1, update) for update in range(4)] == [True, True, True, False]
    assert quota.take_notice(2) == 60
    assert quota.take_notice(1) is None
    now -= dt.timedelta(hours=1)
    assert [quota.admits(1, update) for update in range(4)] == [True, True, True, False]
    now += dt.timedelta(seconds=60)
    assert quota.admits(1, 9)


def test_who_floods_on_is_told_once_a_minute_though_a_command_is_heard_now_and_then() -> None:
    now = NOW
    quota = Quota(lambda: now)
    heard: list[dt.datetime] = []
    told: list[dt.datetime] = []
    for update in range(
        COMMANDS_PER_MINUTE + 10 * 180
    ):  # slowly, so that places get free one by one; then fast
        now += dt.timedelta(seconds=1.5 if update < COMMANDS_PER_MINUTE else 0.1)
        if quota.admits(1, update):
            (heard if quota.take_notice(update) is None else told).append(now)
    for instants, most in ((heard, COMMANDS_PER_MINUTE), (told, 1)):
        minutes = [
            [at for at in instants if begin <= at < begin + dt.timedelta(minutes=1)] for begin in instants
        ]
        assert max(map(len, minutes)) == most
    assert len(told) == 3
