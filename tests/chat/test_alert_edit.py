"""Editing, snoozing, renewing, testing and acknowledging an alert, by text and by button."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlite_utils

from bot.alerts.grammar import parse_rule
from bot.analytics.metrics import METRICS
from bot.chat.alert_edit import edited_rule, snooze_end
from bot.errors import BadInput
from storage import observations
from storage.records import Split
from tests.chat.talk import NOW, OCTOBER, RULE, Talk, labels
from tests.titles import title_of

DAY = dt.timedelta(days=1)


async def pass_to(talk: Talk, moment: dt.datetime) -> list[str]:
    """The texts that are pushed once the clock stands at a moment."""
    return [message.text for message in await talk.pass_to(moment)]


async def alert(talk: Talk, number: int = 1) -> dict[str, Any]:
    return next(row for row in await talk.rows("alerts") if row["number"] == number)


async def test_another_rule_keeps_the_number_and_says_what_it_was(october: Talk) -> None:
    (answer,) = await october.ask("/alert 1 edit Ratio above its 50 day average silent")
    assert answer.text.startswith("Alert #1 is changed: IWM/SPY above its 50-day average.\n")
    assert f"\n#1: ratio > sma 50 silent\nWas: {RULE}\n" in answer.text
    assert "would have fired" in answer.text
    assert "Ends 5 Oct 2021 unless renewed." in answer.text
    row = await alert(october)
    assert (row["rule"], row["life"], row["expires_on"]) == ("ratio > sma 50 silent", "active", "2021-10-05")
    assert len(await october.rows("alert_states")) == 1


async def test_an_edited_alert_starts_afresh_and_keeps_its_history(october: Talk) -> None:
    await pass_to(october, OCTOBER + DAY)
    (answer,) = await october.ask("/alert 1 edit excess 3m > -50pp")
    assert "It is true already, so nothing is sent now." in answer.text
    assert await pass_to(october, OCTOBER + 10 * DAY) == []
    assert (await october.ask("/alert 1 history"))[0].text == (
        "Alert #1: one event\n6 Oct 2020 · #1 ratio > sma 200 · fired at 0.4676\n\nSource: sample data."
    )
    (why,) = await october.ask("/alert 1 why")
    assert "\nratio: 0.4676 > 0.4642" in why.text
    assert "\nEvaluated again from the state after 5 Oct 2020 (armed): it fires.\n" in why.text
    assert f"\n#1: {RULE}\n" in why.text


async def test_the_buttons_of_edit_change_it_step_by_step_in_place(october: Talk) -> None:
    (card,) = await october.ask("/alert 1")
    for label, rule in (
        ("> sma 252", "ratio > sma 252"),
        ("confirm 2", "ratio > sma 252 confirm 2"),
        ("Once", "ratio > sma 252 confirm 2 once"),
        ("Silent", "ratio > sma 252 confirm 2 once silent"),
        ("With sound", "ratio > sma 252 confirm 2 once"),
        ("Urgent", "ratio > sma 252 confirm 2 once urgent"),
        ("Not once", "ratio > sma 252 confirm 2 urgent"),
        ("confirm 1", "ratio > sma 252 urgent"),
        ("> sma 200", "ratio > sma 200 urgent"),
    ):
        before = card.message_id
        (choice,) = await october.press(card, "Edit ▸")
        assert "Or send a line like:" in choice.text
        answers = await october.press(choice, label)
        assert answers, october.notes()
        (answer,) = answers
        assert choice.message_id == answer.message_id == before
        assert f"#1: {rule}\nWas: " in answer.text
        card = answer
    (choice,) = await october.press(card, "Edit ▸")
    (card,) = await october.press(choice, "Back")
    assert "#1: ratio > sma 200 urgent\n" in card.text
    assert len(await october.rows("alerts")) == 1


async def test_the_line_that_a_button_puts_into_the_input_field_is_a_command(october: Talk) -> None:
    (answer,) = await october.ask("@Small_Large_Bot /alert 1 edit ratio > sma 150")
    assert answer.text.startswith("Alert #1 is changed: IWM/SPY above its 150-day average.")


MISTAKES = {
    f"/alert 1 edit {RULE}": "Alert #1 has this rule already.\nExample: /alert 1 edit",
    "/alert 1 edit excess 3m > 50pp": "Alert #2 has this rule already (active).\nSee: /alert 2",
    "/alert 1 edit excess 3m > 5": (
        "“5” has no unit; this needs percentage points (pp).\nExample: /alert 1 edit excess 3m > 5pp"
    ),
    "/alert 1 edit no once": "The rule has no “once”.\nExample: /alert 1 edit confirm 2",
    "/alert 1 edit > 2%": "“2%” is in %; this needs a plain number.\nExample: /alert 1 edit > 2",
    f"/alert 1 edit {RULE} until 2020-10-02": (
        f"“until 2020-10-02” has passed already.\nExample: /alert 1 edit {RULE} until 2021-10-05"
    ),
    "/alert 1 snooze soon": (
        "“soon” is not a time to snooze until; use 2h, 1d, 1w, until DATE or off.\nExample: /alert 1 snooze 1d"
    ),
    "/alert 1 snooze off": "Alert #1 is not snoozed.\nExample: /alert 1 snooze 1d",
    "/alert 1 why now": "“why” takes no more words, but “now” follows.\nExample: /alert 1 why",
}


async def test_what_cannot_be_done_is_said_and_changes_nothing(october: Talk) -> None:
    await october.ask("/alert excess 3m > 50pp")
    before = await october.rows("alerts"), await october.rows("alert_states")
    assert await october.texts(MISTAKES) == MISTAKES
    assert (await october.rows("alerts"), await october.rows("alert_states")) == before


async def test_snoozed_it_fires_in_silence_and_is_told_at_the_end(october: Talk) -> None:
    (card,) = await october.ask("/alert 1")
    (choice,) = await october.press(card, "Snooze ▸")
    (snoozed,) = await october.press(choice, "1w")
    assert snoozed.message_id == choice.message_id == card.message_id
    assert "\nArmed; snoozed until Mon 12 Oct 2020, 18:00.\n" in snoozed.text
    assert "snoozed until Mon 12 Oct 2020, 18:00" in (await october.ask("/alerts"))[0].text
    assert await pass_to(october, OCTOBER + 2 * DAY) == []
    assert "sent when the snooze ends" in (await october.ask("/history"))[0].text
    (text,) = await pass_to(october, OCTOBER + 7 * DAY)
    assert "#1" in text
    assert "6 Oct 2020" in text


async def test_ending_the_snooze_tells_at_once_what_fired(october: Talk) -> None:
    await october.ask("/alert 1 snooze until 2020-12-24")
    assert (await alert(october))["snoozed_until"] == "2020-12-24T05:00:00Z"
    await pass_to(october, OCTOBER + 2 * DAY)
    (card,) = await october.ask("/alert 1")
    (ended,) = await october.press(card, "End snooze")
    assert "\nSnooze ended. What fired meanwhile comes as one message.\n" in ended.text
    assert "End snooze" not in labels(ended)
    (text,) = await pass_to(october, OCTOBER + 2 * DAY)
    assert "6 Oct 2020" in text
    assert await pass_to(october, OCTOBER + 3 * DAY) == []


async def test_all_alerts_of_the_chat_are_snoozed_at_once(october: Talk) -> None:
    assert (await october.ask("/snooze off"))[0].text == "No alert is snoozed.\nSee: /alerts"
    await october.ask("/alert excess 3m > -50pp")
    await october.ask("/alert 2 pause")
    await october.ask("/alert ratio > sma 200 silent")
    (choice,) = await october.ask("/snooze")
    (snoozed,) = await october.press(choice, "1w")
    assert snoozed.text == (
        "2 alerts snoozed until Mon 12 Oct 2020, 18:00.\nWhat fires meanwhile comes as one message at its end."
    )
    assert [row["snoozed_until"] is not None for row in await october.rows("alerts")] == [True, False, True]
    assert await pass_to(october, OCTOBER + 2 * DAY) == []
    (ended,) = await october.press(snoozed, "End snooze")
    assert ended.text == "Snooze ended.\nWhat fired meanwhile comes as one message."
    (text,) = await pass_to(october, OCTOBER + 2 * DAY)
    assert text.startswith("2 events while alerts were snoozed")


async def test_snooze_alone_asks_for_how_long(october: Talk) -> None:
    (choice,) = await october.ask("/alert 1 snooze")
    assert labels(choice) == ["2h", "1d", "1w", "1m", "‹ Back"]
    (snoozed,) = await october.press(choice, "2h")
    assert "snoozed until Mon 5 Oct 2020, 20:00" in snoozed.text
    (choice,) = await october.ask("/alert 1 snooze")
    assert "End snooze" in labels(choice)


async def test_a_paused_alert_is_not_snoozed_and_pausing_ends_a_snooze(october: Talk) -> None:
    await october.ask("/alert 1 snooze 1d")
    await october.ask("/alert 1 pause")
    assert (await alert(october))["snoozed_until"] is None
    (refused,) = await october.ask("/alert 1 snooze 1d")
    assert refused.text == "Alert #1 is paused: it sends nothing anyway.\nExample: /alert 1 resume"


async def test_an_edited_alert_that_is_paused_stays_so(october: Talk) -> None:
    await october.ask("/alert 1 pause")
    (answer,) = await october.ask("/alert 1 edit confirm 2")
    assert "Paused: resume it to get messages." in answer.text
    assert (await alert(october))["life"] == "paused"


async def test_renewed_it_lasts_a_year_from_today(october: Talk) -> None:
    await october.ask("/alert 1 edit until 2020-12-31")
    october.now = OCTOBER + 40 * DAY
    (renewed,) = await october.ask("/alert 1 renew")
    assert "\nRenewed until 14 Nov 2021.\n" in renewed.text
    row = await alert(october)
    assert (row["rule"], row["expires_on"], row["life"]) == (RULE, "2021-11-14", "active")


async def test_an_expired_alert_begins_again_without_its_last_day(october: Talk) -> None:
    await october.ask("/alert 1 edit until 2020-10-08")
    assert (await alert(october))["expires_on"] == "2020-10-08"
    await pass_to(october, OCTOBER + 10 * DAY)
    assert (await alert(october))["life"] == "expired"
    (again,) = await october.ask("/alert 1 renew")
    assert again.text.startswith("“Trend breaks” (#1) is renewed: ")
    assert f"\n“Trend breaks” #1: {RULE}\nIt had ended (its last day has passed) and starts afresh.\n" in again.text
    row = await alert(october)
    assert (row["life"], row["rule"], row["expires_on"]) == ("active", RULE, "2021-10-15")
    assert [state["session"] for state in await october.rows("alert_states")] == ["2020-10-15"]


async def test_renewing_keeps_to_the_quota_and_rules(october: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    await october.ask("/alert 1 off")
    await october.ask(f"/alert {RULE}")
    (refused,) = await october.ask("/alert 1 renew")
    assert refused.text == "Alert #2 has this rule already (active).\nSee: /alert 2"
    monkeypatch.setattr("bot.services.alerts.MOST_ALERTS", 1)
    (refused,) = await october.ask("/alert 1 renew")
    assert refused.text.startswith("This chat has 1 alerts, the most that are allowed.")
    assert (await alert(october))["life"] == "done"


async def test_editing_needs_no_room_in_the_quota(october: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.services.alerts.MOST_ALERTS", 1)
    assert (await october.ask("/alert 1 edit confirm 2"))[0].text.startswith("“Trend breaks” (#1) is changed: ")


async def test_one_tap_adds_the_message_that_it_is_back_to_the_alert_as_it_stands(october: Talk) -> None:
    (pushed,) = await october.pass_to(OCTOBER + DAY)
    text = pushed.text
    (more,) = await october.press(pushed, "More ▸")
    (answer,) = await october.press(more, "Also tell me when it goes back")
    assert answer.message_id == pushed.message_id
    assert answer.text == f"{text}\n#1: You get one more message when it goes back."
    assert october.notes()[-1] == "You get one more message when it goes back."
    (more,) = await october.press(answer, "More ▸")
    assert "Also tell me when it goes back" not in labels(more)
    assert (await october.ask("/alert 1 back"))[0].text == (
        "Alert #1 tells you already when it goes back.\nSee: /alert 1"
    )
    (answer,) = await october.ask("/alert 1 edit no back")
    assert f"#1: {RULE}\n" in answer.text
    await october.ask("/alert flow_gap 20d crosses 0")
    assert (await october.ask("/alert 2 back"))[0].text.startswith("Alert #2 fires either way already.")


async def test_got_it_ends_the_reminders_of_a_fire(october: Talk) -> None:
    assert (await october.ask("/alert 1 ok"))[0].text.startswith("Alert #1 sends no reminders.\n")
    await october.ask("/alert 1 edit remind 2")
    assert (await october.ask("/alert 1 ok"))[0].text.startswith("Alert #1 has nothing to acknowledge:")
    (fired,) = await october.pass_to(OCTOBER + DAY)
    (reminder,) = await october.pass_to(OCTOBER + 3 * DAY)
    assert title_of(reminder.text) == "#1 still · close of Thu 8 Oct 2020"
    assert "A reminder comes every 2 sessions while it is true, until you tap Got it." in reminder.text
    assert "Got it" in labels(fired)
    (answer,) = await october.press(reminder, "Got it")
    assert answer.text.endswith("\n#1: Got it: no more reminders until it fires again.")
    assert "Got it" not in labels(answer)
    assert await october.pass_to(OCTOBER + 7 * DAY) == []


async def test_got_it_drops_reminders_that_wait_for_the_end_of_a_snooze(october: Talk) -> None:
    await october.ask("/alert 1 edit remind 2")
    await october.pass_to(OCTOBER + DAY)
    await october.ask("/alert 1 snooze 1w")
    await october.pass_to(OCTOBER + 3 * DAY)
    assert [event["transition"] for event in await october.rows("alert_events")] == ["fired", "reminder"]
    await october.ask("/alert 1 ok")
    await october.ask("/alert 1 snooze off")
    assert await october.pass_to(OCTOBER + 3 * DAY + DAY / 24) == []


async def test_a_fire_whose_state_is_not_kept_any_more_is_shown_without_a_replay(october: Talk) -> None:
    await pass_to(october, OCTOBER + DAY)

    def forget(db: sqlite_utils.Database) -> None:
        db.execute("UPDATE alert_events SET detail = json_remove(detail, '$.before')")
        db.execute("DELETE FROM alert_states WHERE session < '2020-10-06'")

    await october.database.run(forget)
    (why,) = await october.ask("/alert 1 why")
    assert "\nNot evaluated again: the state before it is no longer stored.\n" in why.text


# The words after edit

ONE = "excess 3m > 5pp rearm 3pp cooldown 5"
TWO = "ratio > sma 200 and flow_gap 20d > 1pp confirm 2"


@pytest.mark.parametrize(
    ("rule", "words", "now"),
    [
        (ONE, "ratio > sma 50", "ratio > sma 50"),
        (ONE, "> 6pp", "excess 3m > 6pp rearm 4pp cooldown 5"),
        (ONE, "above 6 pp", "excess 3m > 6pp rearm 4pp cooldown 5"),
        (ONE, ">= 6pp", "excess 3m >= 6pp rearm 4pp cooldown 5"),
        (ONE, "< -2pp", "excess 3m < -2pp cooldown 5"),
        (ONE, "crosses 0", "excess 3m crosses 0pp cooldown 5"),
        (ONE, "> sma 20", "excess 3m > sma 20 cooldown 5"),
        (ONE, "> 6pp rearm 5pp confirm 3", "excess 3m > 6pp confirm 3 rearm 5pp cooldown 5"),
        (ONE, "rearm 4pp", "excess 3m > 5pp rearm 4pp cooldown 5"),
        (ONE, "no rearm", "excess 3m > 5pp cooldown 5"),
        (ONE, "no cooldown", "excess 3m > 5pp rearm 3pp"),
        (ONE, "NO Cooldown", "excess 3m > 5pp rearm 3pp"),
        (ONE, 'note "Mind it" silent', 'excess 3m > 5pp rearm 3pp cooldown 5 silent note "Mind it"'),
        (ONE, "cooldown 9", "excess 3m > 5pp rearm 3pp cooldown 9"),
        (TWO, "condition 2 > 2pp", "ratio > sma 200 and flow_gap 20d > 2pp confirm 2"),
        (TWO, "Condition 1 < low 20 once", "ratio < low 20 and flow_gap 20d > 1pp confirm 2 once"),
        (TWO, "confirm 1", "ratio > sma 200 and flow_gap 20d > 1pp"),
        (TWO, "no confirm", "ratio > sma 200 and flow_gap 20d > 1pp"),
        (TWO, "until 2030-01-01", "ratio > sma 200 and flow_gap 20d > 1pp confirm 2 until 2030-01-01"),
        (ONE, "and momentum > 0", "excess 3m > 5pp and momentum > 0pp cooldown 5"),
        (TWO, "or excess 3m > 5pp silent", f"{TWO.removesuffix(' confirm 2')} or excess 3m > 5pp confirm 2 silent"),
        (ONE, "and back remind 3", "excess 3m > 5pp rearm 3pp cooldown 5 remind 3 and back"),
        ("ratio > 0.5 and back", "no and back", "ratio > 0.5"),
        ('ratio > 0.5 note "confirm 9"', "once", 'ratio > 0.5 once note "confirm 9"'),
    ],
)
def test_words_change_a_rule(rule: str, words: str, now: str) -> None:
    edited = edited_rule(parse_rule(rule, METRICS), words, METRICS)
    assert str(edited) == now
    assert parse_rule(now, METRICS) == edited


@pytest.mark.parametrize(
    ("rule", "words", "sentence", "example"),
    [
        (TWO, "> 2pp", "The rule has 2 conditions; say which.", "condition 2 > 2pp"),
        (TWO, "condition 3 > 2pp", "There is no condition 3: the rule has 2 conditions.", "condition 2 > 2pp"),
        (TWO, "or x", "“x” is not a metric. All metrics: /help metrics", TWO.removesuffix(" confirm 2")),
        (TWO, "> 2x", "The rule has 2 conditions; say which.", "condition 1 > sma 50"),
        (TWO, "condition 2 > 2x", "“2x” is in x; this needs percentage points (pp).", "condition 2 > 2pp"),
        (ONE, "condition 2 > 2pp", "There is no condition 2: the rule has 1 condition.", "condition 1 > 2pp"),
        (TWO.replace(" confirm 2", ""), "no idea", "“idea” is not an option of alerts.", "confirm 2"),
        (ONE, "no once", "The rule has no “once”.", "no rearm"),
        (ONE, "no idea", "“idea” is not an option of alerts.", "no rearm"),
        (ONE, "once", "“cooldown” does nothing with “once”.", "excess 3m > 5pp rearm 3pp once"),
        (TWO, "rearm 0.3", "“rearm” is for a single condition; with “and” each has its own band.", "confirm 3"),
        (
            ONE,
            "> 6pp and ratio > 1",
            "To add a condition, type the whole rule.",
            "excess 3m > 5pp and ratio > 1 cooldown 5",
        ),
        (ONE, "confirm", "“confirm” needs a number of sessions from 1 to 250.", "confirm 3"),
        (ONE, "> 6pp confirm", "“confirm” needs a number of sessions from 1 to 250.", "> 6pp confirm 3"),
        (ONE, "> 6", "“6” has no unit; this needs percentage points (pp).", "> 6pp"),
        (ONE, "> 6x", "“6x” is in x; this needs percentage points (pp).", "> 6pp"),
        (ONE, "< -6x", "“-6x” is in x; this needs percentage points (pp).", "< -6pp"),
        (ONE, "> 5x", "“5x” is in x; this needs percentage points (pp).", "> 2pp"),
        ("flow iwm 5d > $1bn once", "> 2%", "“2%” is in %; this needs dollars.", "> $1.5bn"),
    ],
)
def test_what_cannot_be_changed_is_said(rule: str, words: str, sentence: str, example: str) -> None:
    with pytest.raises(BadInput) as refused:
        edited_rule(parse_rule(rule, METRICS), words, METRICS)
    assert refused.value.sentence == sentence
    assert refused.value.example == example
    assert edited_rule(parse_rule(rule, METRICS), example, METRICS) != parse_rule(rule, METRICS)


# The words after snooze

NEW_YORK = ZoneInfo("America/New_York")
HOURS = {
    "1d": 24, "2h": 2, "1w": 168, "1m": 720, "for 3 days": 72, " 12 Hours ": 12, "2 weeks": 336,
}  # fmt: skip
MIDNIGHTS = {"America/New_York": 5, "Europe/Berlin": -1, "Asia/Tokyo": -9}  # hours from midnight in UTC


def test_a_snooze_lasts_a_span_or_until_a_local_midnight_or_ends_now() -> None:
    for words, hours in HOURS.items():
        assert snooze_end(words, NOW, NEW_YORK, "x") == NOW + dt.timedelta(hours=hours), words
    for zone, hours in MIDNIGHTS.items():
        for date in ("2020-12-24", "24 Dec 2020", "24.12.2020"):
            end = snooze_end(f"until {date}", NOW, ZoneInfo(zone), "x")
            assert end == dt.datetime(2020, 12, 24, tzinfo=dt.UTC) + dt.timedelta(hours=hours), (zone, date)
    for words in ("off", "OFF", "end", "stop", "no"):
        assert snooze_end(words, NOW, NEW_YORK, "x") is None


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("5", "“5” is not a time to snooze until; use 2h, 1d, 1w, until DATE or off."),
        ("0d", "“0d” is not in the future."),
        ("until 2020-12-13", "“until 2020-12-13” is not in the future."),
        ("until Christmas", "“Christmas” is not a date written YYYY-MM-DD."),
        ("9999d", "“9999d” is longer than a year."),
        ("until 2022-01-01", "“until 2022-01-01” is longer than a year."),
    ],
)
def test_what_is_no_time_is_said(typed: str, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        snooze_end(typed, NOW, NEW_YORK, "/alert 1 snooze")
    assert refused.value.sentence == sentence


async def test_the_button_of_a_split_sets_the_alert_at_its_rescaled_level(october: Talk) -> None:
    await october.ask("/alert ratio > 0.6 rearm 0.55")
    split = Split("IWM", "2020-10-06", 2.0)
    await october.database.run(
        lambda db: observations.add(db, Split, [split], source="csv", observed_at="2020-10-06T21:00:00Z")
    )
    pushed = await october.pass_to(OCTOBER + DAY)
    notice = next(message for message in pushed if message.text.startswith("Split: IWM 2 for 1"))
    assert "Rescale" in labels((await october.ask("/alert 2"))[0])
    text = notice.text
    (answer,) = await october.press(notice, "Rescale #2")
    assert answer.text == f"{text}\n#2: Rescaled; it starts afresh."
    row = next(row for row in await october.rows("alerts") if row["number"] == 2)
    assert (row["rule"], row["life"], row["reason"]) == ("ratio > 0.3 rearm 0.275", "active", "")
    (again,) = await october.ask("/alert 2 rescale")
    assert again.text == "Alert #2 is not paused by a split.\nSee: /alert 2"
    assert not [text for text in await october.pass_to(OCTOBER + 2 * DAY) if "Split" in text.text]
