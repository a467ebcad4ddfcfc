"""An alert's life in a chat: made by a line or by taps, looked at, fired, paused, switched off."""

import datetime as dt
import random
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlite_utils

from bot.alerts.grammar import parse_rule
from bot.alerts.presets import PRESETS
from bot.analytics.metrics import METRICS
from bot.chat.alert_commands import ACTIONS, guide_page
from bot.messages.alerts.guide import TOPICS, topic_of
from bot.messages.common import MAX_BUTTON_DATA
from bot.pair import DEFAULT_PAIR
from bot.services import Caller, CallerChat
from bot.services.alert_views import evaluation_context, parse_alert_rule
from bot.services.alerts import MOST_ALERTS
from storage import alert_store, observations
from storage.records import Bar
from tests.chat.talk import ME, OCTOBER, RULE, YOU, Talk, labels, talking
from tests.messages.pages import page
from tests.storage.events import add_event
from tests.titles import title_of

UNKNOWN = "is not something you can do with an alert."
DAY = dt.timedelta(days=1)


async def lives(talk: Talk) -> list[tuple[int, str]]:
    return [(row["number"], row["life"]) for row in await talk.rows("alerts")]


async def test_a_rule_becomes_an_alert_that_says_where_it_stands(talk: Talk) -> None:
    talk.now = OCTOBER
    (answer,) = await talk.ask("/alert Trend crosses above its 200 day average")
    assert answer.text.startswith("“Trend breaks” (#1) is set: IWM/SPY above its 200-day average.\nNow 0.4623 against")
    assert f"#1: {RULE}\n" in answer.text
    assert "Next check: Tue 6 Oct 2020, 16:15 (New York)" in answer.text
    (row,) = await talk.rows("alerts")
    assert (row["chat_id"], row["owner_id"], row["number"], row["rule"]) == (ME, ME, 1, RULE)


async def test_it_is_pushed_once_when_it_fires_and_its_text_stays_whatever_is_tapped(october: Talk) -> None:
    (pushed,) = await october.pass_to(OCTOBER + DAY)
    assert title_of(pushed.text) == "#1 fired · close of Tue 6 Oct 2020"
    assert await october.pass_to(OCTOBER + DAY) == []
    text = pushed.text

    (why,) = await october.press(pushed, "Why")
    assert why.text.startswith("Why #1 fired: IWM/SPY crossed above its 200-day average · close of Tue 6 Oct 2020")
    assert "Inputs as stored: sample data, observed 13 Dec 2020, 18:00 UTC." in why.text
    assert why.message_id != pushed.message_id
    (more,) = await october.press(pushed, "More ▸")
    assert (more.message_id, more.text) == (pushed.message_id, text)
    (less,) = await october.press(pushed, "‹ Back")
    assert labels(less) == ["Chart", "Edit ▸", "Snooze ▸", "More ▸"]
    for path, line, note, shown in (
        (["Snooze ▸", "1w"], "#1: Snoozed. What fires meanwhile comes as one message at its end.", None, "End snooze"),
        (["More ▸", "Pause"], "#1: It sends nothing until you resume it.", None, "Resume"),
        (["Resume"], "#1: Resumed; it starts afresh.", "Resumed.", "Snooze ▸"),
        (["More ▸", "Off"], "#1: off.", "Alert #1 is off.", "Undo"),
        (["Undo"], "#1: Renewed; it starts afresh.", "Renewed.", "Snooze ▸"),
    ):
        for label in path:
            (changed,) = await october.press(pushed, label)
        assert (changed.message_id, changed.text) == (pushed.message_id, f"{text}\n{line}")
        assert october.notes()[-1] == (note or line.removeprefix("#1: "))
        assert shown in labels(changed)
        assert len(labels(changed)) == (1 if shown == "Undo" else len(labels(changed)))
    assert (await october.ask("/history"))[0].text == (
        "One event\n6 Oct 2020 · #1 ratio > sma 200 · fired at 0.4676\n\nSource: sample data."
    )


async def test_a_fire_that_came_again_after_it_was_taken_back_stands(october: Talk) -> None:
    (pushed,) = await october.pass_to(OCTOBER + DAY)
    (fire,) = await october.database.run(lambda db: alert_store.list_events(db, alert_id=1))

    def store(transition: str, revision: int) -> Callable[[sqlite_utils.Database], object]:
        return lambda db: add_event(
            db,
            alert_id=1,
            session=fire.session.isoformat(),
            transition=transition,
            now=october.now,
            value=fire.value,
            detail=fire.detail,
            revision=revision,
        )

    back = "It was withdrawn when the data was revised."
    await october.database.run(store("withdrawn", 1))
    assert back in (await october.press(pushed, "Why"))[0].text
    await october.database.run(store("fired", 2))
    assert back not in (await october.press(pushed, "Why"))[0].text


async def test_history_turns_to_older_events(talk: Talk) -> None:
    await talk.ask("/alert ratio > 0.9")

    def fires(db: sqlite_utils.Database) -> None:
        for day in range(1, 27):
            add_event(db, alert_id=1, session=f"2020-10-{day:02}", transition="fired", now=talk.now)

    await talk.database.run(fires)
    for typed in ("/history", "/history 1"):
        (newest,) = await talk.ask(typed)
        assert "26 Oct 2020 · #1" in newest.text
        assert "\n6 Oct 2020" not in newest.text
        (turned,) = await talk.press(newest, "Older ›")
        assert [line.split(" · ")[0] for line in turned.text.splitlines()[1:7]] == [
            f"{day} Oct 2020" for day in range(6, 0, -1)
        ]
        (again,) = await talk.press(turned, "‹ Newer")
        assert again.text == newest.text


async def test_an_alert_for_one_fire_is_done_and_can_still_be_looked_at(talk: Talk) -> None:
    talk.now = OCTOBER
    await talk.ask(f"/alert {RULE} once")
    (pushed,) = await talk.pass_to(OCTOBER + DAY)
    assert [label for label in labels(pushed) if label in {"Pause", "Off"}] == []
    assert (await talk.press(pushed, "Why"))[0].text.startswith("Why #1 fired")
    (more,) = await talk.press(pushed, "More ▸")
    assert (await talk.press(more, "Chart"))[-1].photo
    (ended,) = await talk.ask("/alert 1 pause")
    assert ended.text == "Alert #1 has ended (fired once).\nExample: /alert 1 renew"
    assert await lives(talk) == [(1, "done")]
    assert (await talk.ask("/alerts"))[0].text.startswith("No alerts yet.")


async def test_pausing_holds_it_back_and_resuming_begins_afresh(october: Talk) -> None:
    (paused,) = await october.ask("/alert 1 PAUSE")
    assert "\nPaused" in paused.text
    assert (await october.ask("/alert #1 pause"))[0].text == "Alert #1 is paused already.\nSee: /alert 1"
    assert await october.pass_to(OCTOBER + 30 * DAY) == []
    (resumed,) = await october.press(paused, "Resume")
    assert resumed.message_id == paused.message_id
    assert [row["session"] for row in await october.rows("alert_states")] == ["2020-11-04"]
    assert (await october.ask("/alert 1 resume"))[0].text == "Alert #1 is active already.\nSee: /alert 1"
    assert await october.pass_to(OCTOBER + 60 * DAY) == []


async def test_switched_off_it_can_be_looked_at_and_taken_back_by_one_tap(talk: Talk) -> None:
    await talk.ask("/alert excess 3m > 50pp")
    (off,) = await talk.ask("/alert 1 off")
    (ended,) = await talk.ask("/alert 1")
    assert "\nEnded: switched off.\n" in ended.text
    assert labels(ended) == ["Chart", "Renew", "More ▸"]
    assert (await talk.ask("/alerts"))[0].text.startswith("No alerts yet.")
    (again,) = await talk.press(off, "Undo")
    assert again.text.startswith("Alert #1 is renewed: IWM's lead in total return over 3m above 50pp.\n")
    assert "\nIt had ended (switched off) and starts afresh.\n" in again.text
    assert await lives(talk) == [(1, "active")]


MISTAKES = {
    **{
        f"/alert {number}": f"There is no alert #{number} in this chat. Your alerts: /alerts"
        for number in (9, 10**18, 2**63, 10**30)
    },
    "/alert #9 pause": "There is no alert #9 in this chat. Your alerts: /alerts",
    "/alert 1 puase": f"“puase” {UNKNOWN} Did you mean pause?\nExample: /alert 1 pause",
    "/alert 1 edti": f"“edti” {UNKNOWN} Did you mean edit?\nExample: /alert 1 edit",
    "/alert 1 2": f"“2” {UNKNOWN} You can: {', '.join(ACTIONS)}.\nSee: /alert 1",
    "/alert 1 pause now": "“pause” takes no more words, but “now” follows.\nExample: /alert 1 pause",
    "/alert ratio >  SMA 200": "Alert #1 has this rule already (active).\nSee: /alert 1",
    "/alert excess 3m > 5": ("“5” has no unit; this needs percentage points (pp).\nExample: /alert excess 3m > 5pp"),
    "/alert ratio": (
        "The rule stops after “ratio”; expected a comparison (>, <, >=, <=, crosses).\nExample: /alert ratio > sma 200"
    ),
    f"/alert ratio > {'9' * 500}": "A rule has at most 500 characters, not 508.\nSee: /alert",
    "/alert ratio > 0.7 until 2020-12-11": (
        "“until 2020-12-11” has passed already.\nExample: /alert ratio > 0.7 until 2021-12-13"
    ),
}


async def test_what_cannot_be_done_is_said_and_changes_nothing(talk: Talk) -> None:
    await talk.ask(f"/alert {RULE}")
    before = await talk.rows("alerts")
    assert await talk.texts(MISTAKES) == MISTAKES
    assert await talk.rows("alerts") == before


async def test_a_mistakes_example_opens_in_the_guide_to_be_confirmed(talk: Talk) -> None:
    (refused,) = await talk.ask("/alert excess 3m > 5")
    (page,) = await talk.press(refused, "Set it up")
    assert page.text.startswith("Your rule: IWM's lead in total return over 3m above 5pp.\n")
    assert await talk.rows("alerts") == []
    (answer,) = await talk.press(page, "Create")
    assert answer.text.startswith("“Small caps lead” (#1) is set: ")
    assert answer.message_id == refused.message_id


async def test_fifty_alerts_are_the_most_and_still_fit_a_list(talk: Talk) -> None:
    def fill(db: sqlite_utils.Database) -> None:
        (first,) = db["alerts"].rows
        current = alert_store.current_state(db, first["alert_id"])
        assert current is not None
        for level in range(1, MOST_ALERTS):
            row = alert_store.add_alert(
                db, chat_id=ME, owner_id=ME, rule=f"ratio > {level}",
                rule_json=first["rule_json"].replace("0.9", str(level)), now=talk.now,
            )  # fmt: skip
            alert_store.save_states(db, [(row.alert_id, "2020-12-11", current.state)])

    await talk.ask("/alert ratio > 0.9")
    await talk.database.run(fill)
    (refused,) = await talk.ask("/alert ratio > 0.8")
    assert refused.text == ("This chat has 50 alerts, the most that are allowed. Switch one off first.\nSee: /alerts")
    (page,) = await talk.press(refused, "Open it")
    shown = [label for label in labels(page) if label.startswith("#")]
    while "Farther ›" in labels(page):
        (page,) = await talk.press(page, "Farther ›")
        shown += [label for label in labels(page) if re.fullmatch(r"#\d+", label)]
    assert sorted(shown) == sorted(f"#{number}" for number in range(1, 51))
    (card,) = await talk.press(page, shown[-1])
    assert card.text.startswith(f"Alert {shown[-1]}: IWM/SPY above ")
    (card,) = await talk.press(card, "More ▸")
    await talk.press(card, "Off")
    assert (await talk.ask("/alert ratio > 0.8"))[0].text.startswith("Alert #51 is set: ")


async def test_an_alert_is_its_chats_alone(talk: Talk) -> None:
    talk.api.chat(YOU)
    await talk.ask(f"/alert {RULE}")
    for typed in ("/alert 1", "/alert 1 off", "/alert 1 why", "/alert 1 chart", "/history 1"):
        (answer,) = await talk.ask(typed, YOU)
        assert answer.text == "There is no alert #1 in this chat. Your alerts: /alerts"
    assert (await talk.ask("/alerts", YOU))[0].text.startswith("No alerts yet.")
    assert (await talk.ask("/history", YOU))[0].text == "Nothing has fired yet.\nYour alerts: /alerts"
    (created,) = await talk.ask(f"/alert {RULE}", YOU)
    assert "(#1) is set: " in created.text
    assert {(row["chat_id"], row["life"]) for row in await talk.rows("alerts")} == {(ME, "active"), (YOU, "active")}


async def test_why_before_any_fire_says_where_it_stands(october: Talk) -> None:
    (why,) = await october.ask("/alert 1 why")
    assert why.text.startswith("“Trend breaks” (#1): ")
    assert "\nIt has not fired yet.\n" in why.text


@pytest.fixture
async def stopped(tmp_path: Path) -> AsyncIterator[Talk]:
    """A bot whose prices stop at Wed 15 Jan 2020, two sessions ago, which it has noticed."""
    async with talking(None, tmp_path) as talk:
        await closes(talk, "2020-01-14", "2020-01-15")
        talk.now = dt.datetime(2020, 1, 18, 12, tzinfo=dt.UTC)
        await talk.bot.scheduler.evaluate()
        yield talk


async def closes(talk: Talk, *days: str) -> None:
    rows = [Bar(fund, day, 100.0) for day in days for fund in ("IWM", "SPY")]
    at = f"{talk.now:%Y-%m-%dT%H:%M:%SZ}"
    await talk.database.run(lambda db: observations.add(db, Bar, rows, source="csv", observed_at=at))


async def test_an_alert_made_while_data_is_stale_says_so_and_is_told_when_it_is_back(stopped: Talk) -> None:
    (answer,) = await stopped.ask("/alert ratio > 2")
    stale = "Data stale: prices end on 15 Jan 2020. The alert waits; you get one message when the data is back."
    assert stale in answer.text.splitlines()
    assert await stopped.pass_to(stopped.now) == []  # said already
    await closes(stopped, "2020-01-16", "2020-01-17")
    (back,) = await stopped.pass_to(stopped.now)
    assert back.text.splitlines()[0] == "Data back: prices"
    (answer,) = await stopped.ask("/alert ratio > 3")
    assert "Data stale" not in answer.text


async def test_an_alert_that_begins_again_while_data_is_stale_says_so(stopped: Talk) -> None:
    for line in ("ratio > 2", "1 pause", "1 resume", "1 edit confirm 2", "1 off", "1 renew"):
        (answer,) = await stopped.ask(f"/alert {line}")
        assert ("Data stale: prices end on 15 Jan 2020." in answer.text) is (line not in {"1 pause", "1 off"}), line


async def test_an_alert_on_other_figures_than_the_stale_ones_says_nothing_of_them(stopped: Talk) -> None:
    (answer,) = await stopped.ask("/alert flow iwm 5d > $1bn")
    assert "Data stale" not in answer.text
    await closes(stopped, "2020-01-16", "2020-01-17")
    assert await stopped.pass_to(stopped.now) == []


async def test_an_alert_that_cannot_be_read_is_named_and_can_be_switched_off(talk: Talk) -> None:
    talk.now = OCTOBER
    await talk.ask("/alert ratio > 0.7")
    await talk.ask("/alert ratio > 0.8")

    def damage(db: sqlite_utils.Database) -> None:
        db.execute("UPDATE alerts SET rule_json = replace(rule_json, 'ratio', 'ratios') WHERE number = 1")

    await talk.database.run(damage)
    why = "Alert #1 cannot be read (“ratios” is not a metric any more); switch it off and set it again."
    (listed,) = await talk.ask("/alerts")
    assert "#2 ratio > 0.8: " in listed.text
    assert listed.text.splitlines()[3] == why
    for deed in ("", " edit confirm 2", " renew", " back", " chart"):
        (answer,) = await talk.ask(f"/alert 1{deed}")
        assert answer.text == f"{why}\nExample: /alert 1 off"
    (summary,) = await talk.ask("/summary now")
    assert "#2 IWM/SPY above 0.8" in summary.text
    (off,) = await talk.ask("/alert 1 off")
    assert off.text.startswith("Alert #1 is off.")
    (listed,) = await talk.ask("/alerts")
    assert "cannot be read" not in listed.text


async def test_a_ready_rule_is_shown_before_it_is_made_all_in_one_message(talk: Talk) -> None:
    (choice,) = await talk.ask("/alert")
    assert labels(choice) == [*(preset.name for preset in PRESETS), "Make my own"]
    for number, preset in enumerate(PRESETS, start=1):
        (choice,) = await talk.ask("/alert")
        (shown,) = await talk.press(choice, preset.name)
        assert shown.text.startswith(f"{preset.name}: ")
        assert DEFAULT_PAIR.fill(preset.meaning) in shown.text
        assert "it would " in shown.text
        (answer,) = await talk.press(shown, "Create")
        assert answer.message_id == choice.message_id
        assert answer.text.startswith(f"“{preset.name}” (#{number}) is set: ")
    market = await talk.bot.services.markets.current()
    rules = [row["rule"] for row in await talk.rows("alerts")]
    assert rules == [str(parse_alert_rule(preset.rule, market)) for preset in PRESETS]


async def test_a_rule_of_ones_own_is_made_of_taps(talk: Talk) -> None:
    (message,) = await talk.ask("/alert")
    for label, text in (
        ("Make my own", "What is it about?"),
        ("Is money moving?", "Fund flow: "),
        ("Fund flow", "Of which fund?"),
        ("SPY", "Over which window?"),
        ("20d (default)", "Message you when it ..."),
        ("falls below", "SPY's flow over 20d below what?"),
        ("$0", "flow spy 20d < $0"),
        ("confirm 2", "flow spy 20d < $0 confirm 2"),
        ("Create", "Alert #1 is set: SPY's flow over 20d below $0."),
    ):
        (edited,) = await talk.press(message, label)
        assert edited.message_id == message.message_id
        assert text in edited.text
    assert [row["rule"] for row in await talk.rows("alerts")] == ["flow spy 20d < $0 confirm 2"]


async def test_back_leads_through_every_step_to_the_beginning(talk: Talk) -> None:
    (message,) = await talk.ask("/alert new flow spy 20d < $0 confirm 2")
    seen = []
    while "Back" in labels(message):
        (message,) = await talk.press(message, "Back")
        seen.append(message.text.splitlines()[0])
    assert seen == [
        "Your rule: SPY's flow over 20d below $0.",
        "SPY's flow over 20d below what?",
        "SPY's flow over 20d",
        "Fund flow",
        "Fund flow",
        "Is money moving?",
        "A rule of your own",
        "When should the bot message you?",
    ]


async def test_what_was_chosen_outlives_a_restart(sample: Path, tmp_path: Path) -> None:
    async with talking(sample, tmp_path) as talk:
        (message,) = await talk.ask("/alert new ratio >")
        data = dict(button for row in message.buttons for button in row)["sma 200"]
    (tmp_path / "again").mkdir()
    async with talking(tmp_path / "bot.db", tmp_path / "again") as talk:
        (message,) = await talk.ask("/about")
        message.markup = {"inline_keyboard": [[{"text": "sma 200", "callback_data": data}]]}
        (shown,) = await talk.press(message, "sma 200")
        assert shown.text.startswith("Your rule: IWM/SPY above its 200-day average.\n")


REFUSED = {
    "/alert new nonsense": "“nonsense” is not one of the choices.\nExample: /alert new",
    "/alert new ratio near 5": "“near” is not one of the choices after “ratio”.\nExample: /alert new",
    "/alert new excess 3m > 5": (
        "“5” has no unit; this needs percentage points (pp).\nExample: /alert new excess 3m > 5pp"
    ),
    "/alert new flow iwm 9x >": (
        "“9x” is not a window; one of these works: 5d, 1w, 3m, 1y, ytd, mtd, max, since 2020-09-30.\n"
        "Example: /alert new flow iwm 5d > $1bn"
    ),
}


async def test_what_no_button_says_is_refused(talk: Talk) -> None:
    assert await talk.texts(REFUSED) == REFUSED


async def test_every_way_through_the_buttons_ends_in_a_rule_that_fits_a_button(talk: Talk) -> None:
    services = talk.bot.services
    chat = CallerChat(ME, "private", "Me", ZoneInfo("America/New_York"))
    context = await evaluation_context(Caller(services, chat, ME, services.clock(), talk.database.run))
    ended = set()
    chance = random.Random(7)
    for _ in range(20):
        line = ""
        while True:
            answer = guide_page(line, context, services.clock())
            page(answer)
            every = [(label, data) for row in answer.buttons for label, data in row]
            for label, data in every:
                assert len(f"e{data}".encode()) <= MAX_BUTTON_DATA, (label, data)
            create = [data for label, data in every if label == "Create"]
            ways = [
                data for label, data in every if data.startswith("/alert new ") and label not in {"Back", "‹ Previous"}
            ]
            if create and (not ways or chance.random() < 0.5):
                rule = parse_rule(create[0].removeprefix("/alert "), METRICS)
                assert parse_rule(str(rule), METRICS) == rule
                ended.add(rule.conditions[0].metric)
                break
            line = chance.choice(ways).removeprefix("/alert new ")
    assert len(ended) > 8


def test_every_metric_has_a_topic() -> None:
    assert {topic_of(metric) for metric in METRICS.values()} == set(TOPICS)


async def test_a_preset_goes_by_its_name(talk: Talk) -> None:
    for number, preset in enumerate(PRESETS, start=1):
        (answer,) = await talk.ask(f"/alert  {preset.name.upper()}")
        assert answer.text.startswith(f"“{preset.name}” (#{number}) is set: ")
    (tested,) = await talk.ask(f"/backtest {PRESETS[0].name.upper()}")
    assert tested.text.startswith("Fired ")
    assert labels(tested)[0] == "Make it an alert"
