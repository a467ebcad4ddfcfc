"""/settings: set by buttons in place or typed, honoured by answers, charts and summaries."""

import datetime as dt
import io
import re
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from bot.chat.settings import SETTINGS
from bot.messages.canvas import DARK, LIGHT
from storage import chat_store
from tests.chat.talk import ME, YOU, Talk, talking
from tests.titles import title_of

CARD = """Settings of this chat
Time zone: America/New_York
Quiet hours: off
Returns: both
Charts: light
Numbers: 1,234.5
Daily summary: off, /summary"""


QUIET = "\nExample: /settings quiet 22:00-07:00"


async def row(talk: Talk, chat_id: int = ME) -> dict[str, Any]:
    return next(row for row in await talk.rows("chats") if row["chat_id"] == chat_id)


async def test_all_settings_are_one_screen_with_a_button_each(talk: Talk) -> None:
    (card,) = await talk.ask("/settings")
    assert card.text == CARD
    assert [label for buttons in card.buttons for label, _ in buttons] == [
        "Time zone", "Quiet hours", "Returns", "Charts", "Numbers", "Summary",
    ]  # fmt: skip
    assert await talk.rows("chats") == []


async def test_a_zone_that_the_machine_no_longer_knows_is_the_configurations(talk: Talk) -> None:
    await talk.ask("/settings zone Europe/Berlin")
    await talk.database.run(lambda db: chat_store.set_preferences(db, ME, timezone="Europe/Atlantis"))
    (card,) = await talk.ask("/settings")
    assert "Time zone: America/New_York" in card.text.splitlines()
    (answer,) = await talk.ask("/alert ratio > 0.9")
    assert answer.text.startswith("Alert #1")
    assert (await talk.ask("/summary on 18:30"))[0].text.startswith("Daily summary at 18:30 (America/New_York)")


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
async def test_everything_offered_is_set_in_place_and_told(setting: Any, talk: Talk) -> None:  # noqa: ANN401 - a Setting
    (card,) = await talk.ask("/settings")
    for word in setting.choices:
        (choice,) = await talk.press(card, setting.title)
        assert choice.text.startswith(f"{setting.title}: ")
        (card,) = await talk.press(choice, word)
        assert f"\n{setting.title}: {word} (set)\n" in card.text
    assert {message.message_id for message in talk.api.messages(ME)} == {card.message_id}
    (choice,) = await talk.press(card, setting.title)
    (back,) = await talk.press(choice, "Back")
    assert f"\n{setting.title}: {setting.choices[-1]}\n" in back.text


@pytest.mark.parametrize(("typed", "offset"), [("GMT+1", 1), ("UTC-5", -5), ("utc+0", 0), ("gmt -12", -12)])
async def test_an_offset_has_the_sign_that_people_mean(typed: str, offset: int, talk: Talk) -> None:
    await talk.ask(f"/settings zone {typed}")
    zone = ZoneInfo((await row(talk))["timezone"])
    assert talk.now.astimezone(zone).utcoffset() == dt.timedelta(hours=offset)
    (answer,) = await talk.ask("/summary on 18:30")
    named = f"UTC{offset:+}" if offset else "UTC"
    assert answer.text.startswith(f"Daily summary at 18:30 ({named})")
    assert f"({named})." in (await talk.ask("/alert ratio > 0.9"))[0].text


MISTAKES = {
    "/settings colour": (
        "“colour” is not a setting. The settings are zone, quiet, returns, theme, numbers.\nSee: /settings"
    ),
    "/settings zne GMT+1": (
        "“zne” is not a setting. The settings are zone, quiet, returns, theme, numbers. Did you mean zone?\n"
        "Example: /settings zone"
    ),
    "/settings zone Amerika/Chicago": (
        "“Amerika/Chicago” is not a time zone. Did you mean America/Chicago?\nExample: /settings zone America/Chicago"
    ),
    "/settings zone GMT-13": (
        "“GMT-13” is no zone's time all year; UTC-12 to UTC+14 are. For another offset name a city.\n"
        "Example: /settings zone Asia/Kolkata"
    ),
    "/settings zone Europe/Berln": (
        "“Europe/Berln” is not a time zone. Did you mean Europe/Berlin?\nExample: /settings zone Europe/Berlin"
    ),
    "/settings quiet at night": f"“at night” is not a span of time.{QUIET}",
    "/settings quiet 24:00-07:00": f"“24:00-07:00” is not a span of time.{QUIET}",
    "/settings quiet 22:3०-07:00": f"“22:3०-07:00” is not a span of time.{QUIET}",
    "/settings quiet 7-7": f"Quiet hours cannot begin and end at the same time.{QUIET}",
    "/settings theme pink": "“pink” is not one of these: light · dark\nExample: /settings theme dark",
    "/settings numbers 12": (
        "“12” is not one of these: 1,234.5 · 1.234,5 · 1 234,5 · 1'234.5\nExample: /settings numbers 1'234.5"
    ),
}


async def test_what_is_mistyped_is_named_and_changes_nothing(talk: Talk) -> None:
    assert await talk.texts(MISTAKES) == MISTAKES
    assert await talk.rows("chats") == []


async def test_formats_of_numbers_are_named_as_they_are_typed_whatever_the_chat_has_set(talk: Talk) -> None:
    await talk.ask("/settings numbers 1.234,5")
    (refused,) = await talk.ask("/settings numbers roman")
    assert refused.text.startswith("“roman” is not one of these: 1,234.5 · 1.234,5 · 1 234,5 · 1'234.5\n")
    (choice,) = await talk.ask("/settings numbers")
    assert "the scales of charts, keep 1,234.5.\n" in choice.text


async def test_compare_shows_the_return_that_is_set_unless_another_is_asked_for(talk: Talk) -> None:
    def blocks(text: str) -> list[str]:
        return re.findall(r"^(Price|Total) return", text, re.MULTILINE)

    for typed, shown, other, shown_then in (
        ("both", ["Price", "Total"], "price", ["Price"]),
        ("price", ["Price"], "tr", ["Total"]),
        ("total", ["Total"], "tr price", ["Price", "Total"]),
    ):
        await talk.ask(f"/settings returns {typed}")
        assert blocks((await talk.ask("/compare"))[0].text) == shown
        assert blocks((await talk.ask(f"/compare {other}"))[0].text) == shown_then
        (summary,) = await talk.ask("/summary now")
        assert blocks(summary.text) == [("Total" if typed == "total" else "Price")]
    foreign, *_ = await talk.ask("/compare", YOU)
    assert blocks(foreign.text) == ["Price", "Total"]


def ground(talk: Talk, file_id: str | None) -> str:
    """Colour of the corner of a picture."""
    with Image.open(io.BytesIO(talk.api.files[file_id or ""].content)) as picture:
        red, green, blue = picture.convert("RGB").getpixel((1, 1))  # type: ignore[misc]
    return f"#{red:02X}{green:02X}{blue:02X}"


@pytest.mark.parametrize("typed", ["/compare", "/chart drawdown", "/trend"])
async def test_charts_are_drawn_in_the_theme_that_is_set(typed: str, talk: Talk) -> None:
    *_, light = await talk.ask(typed)
    await talk.ask("/settings theme dark")
    *_, dark = await talk.ask(typed)
    assert (ground(talk, light.photo), ground(talk, dark.photo)) == (LIGHT.ground, DARK.ground)


async def test_numbers_are_written_as_set_but_what_is_typed_is_not(talk: Talk) -> None:
    (usual,) = [m.text for m in await talk.ask("/chart ratio 1y")]
    await talk.ask("/settings numbers 1.234,5")
    (text,) = [m.text for m in await talk.ask("/chart ratio 1y")]
    assert text != usual
    assert not re.search(r"\d\.\d{2}\b", text)
    (answer,) = await talk.ask("/alert ratio > 0.9")
    assert "ratio > 0.9" in answer.text
    assert re.search(r"\d,\d", answer.text)
    (refused,) = await talk.ask("/alert ratio > 0.9")
    assert "Alert #1 has this rule already" in refused.text
    (status,) = await talk.ask("/status")
    assert "Version 0.2.0." in status.text


async def test_summaries_and_alerts_come_in_the_numbers_that_are_set(talk: Talk) -> None:
    talk.now = dt.datetime(2020, 10, 5, 22, tzinfo=dt.UTC)
    await talk.ask("/settings numbers 1.234,5")
    await talk.ask("/settings returns total")
    await talk.ask("/alert ratio > sma 200")
    await talk.ask("/summary on 18:30")
    talk.now = dt.datetime(2020, 10, 6, 22, 31, tzinfo=dt.UTC)
    before = len(talk.api.messages(ME))
    await talk.bot.scheduler.tick()
    alert, summary = (message.text for message in talk.api.messages(ME)[before:])
    assert title_of(alert).startswith("#1 fired")
    assert "Total return, distributions reinvested" in summary
    for text in (alert, summary):
        assert re.search(r"\d,\d\d%", text)
        assert not re.search(r"\d\.\d\d%", text)


async def test_in_another_zone_a_summary_that_is_past_there_is_not_sent_after_the_fact(talk: Talk) -> None:
    talk.now = dt.datetime(2020, 12, 8, 17, tzinfo=dt.UTC)  # noon in New York, 18:00 in Berlin
    await talk.ask("/start")
    talk.now += dt.timedelta(days=1)
    await talk.ask("/summary on 17:30")
    await talk.ask("/settings zone Europe/Berlin")
    await talk.bot.scheduler.tick()
    assert [m.text for m in talk.api.messages(ME) if "Daily summary ·" in m.text] == []
    talk.now += dt.timedelta(hours=23, minutes=31)
    await talk.bot.scheduler.tick()
    titles = [m.text.splitlines()[0] for m in talk.api.messages(ME) if "Daily summary ·" in m.text]
    assert titles == ["IWM led by 0.54pp · Wed 9 Dec 2020"]


async def test_on_weekdays_saturdays_summary_comes_on_monday(sample: Path, tmp_path: Path) -> None:
    async with talking(sample, tmp_path, timezone="Asia/Tokyo") as talk:
        talk.now = dt.datetime(2020, 12, 3, 12, tzinfo=dt.UTC)
        (answer,) = await talk.ask("/summary 08:00 weekdays")
        assert answer.text.startswith("Daily summary at 08:00 (Asia/Tokyo), on weekdays with a new close.")
        seen: list[str] = []
        for day in range(4, 9):  # 08:00 in Tokyo is 23:00 UTC of the day before; Saturday is the 5th
            talk.now = dt.datetime(2020, 12, day - 1, 23, 1, tzinfo=dt.UTC)
            before = len(talk.api.messages(ME))
            await talk.bot.scheduler.tick()
            titles = [message.text.splitlines()[0] for message in talk.api.messages(ME)[before:]]
            seen += [f"{day}: {title.split(' · ')[1]}" for title in titles]
        assert seen == ["4: Thu 3 Dec 2020", "7: Fri 4 Dec 2020", "8: Mon 7 Dec 2020"]


async def test_the_days_are_kept_when_the_time_changes_and_switched_by_a_button(talk: Talk) -> None:
    await talk.ask("/summary weekdays")
    (answer,) = await talk.ask("/summary on 9:00")
    assert "on weekdays" in answer.text
    (choice,) = await talk.ask("/summary")
    assert "Daily summary at 09:00 (America/New_York), on weekdays with a new close." in choice.text
    (answer,) = await talk.press(choice, "Daily")
    assert answer.text.startswith("Daily summary at 09:00 (America/New_York), on every day with a new close.")


async def test_days_where_none_belong_are_refused(talk: Talk) -> None:
    for words in ("now weekdays", "off weekdays", "weekdays daily", "weekends"):
        assert (await talk.ask(f"/summary {words}"))[0].text == (
            f"“{words}” is not understood; use now, on HH:MM, daily, weekdays, weekly or off.\n"
            "Example: /summary on 18:30"
        )
