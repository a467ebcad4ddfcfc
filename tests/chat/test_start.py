"""First contact: three steps by taps, in private and in a group, and links that open the guide."""

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot.alerts.presets import PRESETS
from bot.chat.reply import ADMINISTRATORS_ONLY
from bot.messages.pages.start import summary_step
from tests.chat.talk import GROUP, Talk, labels, talking

ADMIN, MEMBER = 1, 2


async def test_from_start_to_alerts_and_a_summary_in_three_taps_of_one_message(talk: Talk) -> None:
    (first,) = await talk.ask("/start")
    assert first.text.startswith("Small caps against large caps: IWM and SPY\n")
    assert (
        "IWM leads this year by 1.06pp, close of Fri 11 Dec 2020. Trend: 13.1% over its 200-day average" in first.text
    )
    assert (
        "Trend breaks: IWM/SPY closes above its 200-day average twice in a row. It would have fired 14 times"
        in first.text
    )
    for label, beginning in (
        ("All", "2 of 3. Where are you?\nNow: America/New_York, 13:00."),
        ("Berlin 19:00", "Your time zone is Europe/Berlin: 19:00 now.\n3 of 3. A summary every day?"),
        (
            "After the close, 22:45",
            "All set.\nAlerts: Trend breaks, Small caps lead, Money turns, Too expensive, Rotation.",
        ),
    ):
        (page,) = await talk.press(first, label)
        assert page.message_id == first.message_id
        assert page.text.startswith(beginning), page.text
    assert "Time zone: Europe/Berlin.\nDaily summary: 22:45.\nNext check: Mon 14 Dec 2020, 22:15 (Berlin)." in page.text
    assert labels(page)[:2] == ["Pin a live board", "Compare now"]
    assert len(await talk.rows("alerts")) == len(PRESETS)
    (chat,) = await talk.rows("chats")
    assert (chat["timezone"], chat["summary_at"]) == ("Europe/Berlin", "22:45")


async def test_every_step_can_be_skipped_and_gone_back_and_one_rule_be_taken(talk: Talk) -> None:
    (page,) = await talk.ask("/start")
    (page,) = await talk.press(page, "Money turns")
    assert "✓ Money turns: " in page.text
    assert "Money turns" not in labels(page)
    (page,) = await talk.press(page, "Next ›")
    (page,) = await talk.press(page, "Other")
    (page,) = await talk.press(page, "America")
    assert page.text == "Which city in America? Page 1 of 2."
    (page,) = await talk.press(page, "More ›")
    (page,) = await talk.press(page, "‹ Previous")
    (page,) = await talk.press(page, "Anchorage 09:00")
    assert page.text.startswith("Your time zone is America/Anchorage: 09:00 now.")
    (page,) = await talk.press(page, "‹ Back")
    (page,) = await talk.press(page, "Keep it ›")
    (page,) = await talk.press(page, "No")
    assert page.text.startswith("All set.\nAlerts: Money turns.\nTime zone: America/Anchorage.\nDaily summary: off.\n")
    assert [row["rule"] for row in await talk.rows("alerts")] == ["flow_gap 20d crosses 0pp"]


async def test_a_group_that_adds_the_bot_is_greeted_and_its_administrators_set_it_up(talk: Talk) -> None:
    talk.api.chat(GROUP).members.update({ADMIN: "administrator", MEMBER: "member"})
    talk.api.change_membership(GROUP, "left", "member")
    await talk.answers()
    (greeting,) = await talk.pushed(GROUP)
    assert greeting.text.splitlines()[1] == "Administrators choose what it tells; everybody may ask."
    (page,) = await talk.press(greeting, "Set it up", MEMBER)
    assert page.message_id == greeting.message_id
    for label in ("All", "Later ›"):
        assert await talk.press(page, label, MEMBER) == []
        assert talk.notes()[-1] == ADMINISTRATORS_ONLY
    (page,) = await talk.press(page, "All", ADMIN)
    assert {row["chat_id"] for row in await talk.rows("alerts")} == {GROUP}
    talk.api.change_membership(GROUP, "member", "administrator")
    await talk.answers()
    assert await talk.pushed(GROUP) == []


@pytest.mark.parametrize(
    ("link", "beginning"),
    [
        ("alert_ratio_above_sma_200", "Your rule: IWM/SPY above its 200-day average."),
        ("alert_trend_breaks", "Trend breaks: IWM/SPY above its 200-day average."),
        ("alert_excess_3m_below_-2pp", "Your rule: IWM's lead in total return over 3m below −2pp."),
        ("alert_ratio_vs_sma_200_above_5_percent", "Your rule: IWM/SPY against its 200-day average above 5%."),
        ("alert_ratio_near_5", "The rule of this link cannot be read: “near” is not one of the choices after “ratio”."),
        ("abc", "Small caps against large caps: IWM and SPY\n"),
    ],
)
async def test_a_link_opens_the_guide_and_sets_nothing(link: str, beginning: str, talk: Talk) -> None:
    (page,) = await talk.ask(f"/start {link}")
    assert page.text.startswith(beginning)
    assert await talk.rows("alerts") == []


async def test_without_prices_nothing_is_offered_and_a_wrong_time_is_said(tmp_path: Path) -> None:
    async with talking(None, tmp_path) as talk:
        (page,) = await talk.ask("/start")
        assert "No rule can be evaluated yet, because data is missing: /status" in page.text
        assert labels(page)[0] == "Later ›"
        (refused,) = await talk.ask("/start summary noon-ish")
        assert refused.text.startswith("“noon-ish” is not a time of day")


@pytest.mark.parametrize(
    ("zone", "today", "time"),
    [
        ("America/New_York", "2020-07-01", "16:45"),
        ("Europe/Berlin", "2020-03-20", "22:45"),  # summer time begins later there
        ("Australia/Sydney", "2020-07-01", "08:45"),
        ("Asia/Kolkata", "2020-07-01", "03:15"),
    ],
)
def test_after_the_close_is_after_it_all_year(zone: str, today: str, time: str) -> None:
    now = dt.datetime.fromisoformat(f"{today}T17:00:00+00:00")
    assert f"After the close, {time}" in [
        label for row in summary_step(ZoneInfo(zone), now, is_set=False).buttons for label, _ in row
    ]


async def test_any_city_is_six_taps_from_an_alert_and_a_summary(talk: Talk) -> None:
    (page,) = await talk.ask("/start")
    for label in ("All", "Other", "America", "More ›", "Yakutat 09:00", "18:30"):
        (page,) = await talk.press(page, label)
    assert "Time zone: America/Yakutat.\nDaily summary: 18:30.\n" in page.text
