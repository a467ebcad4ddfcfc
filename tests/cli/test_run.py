import asyncio
import datetime as dt
import re
import sys
from pathlib import Path

import pytest
import sqlite_utils

from bot.analytics.sessions import Sessions
from bot.jobs import scheduler
from storage import chat_store, outbox
from storage.database import hold_lock, open_database
from tests.cli.conftest import Call, Files, Result, process
from tests.data.conftest import forget
from tests.fakes.botapi import FakeBotApi
from tests.fakes.yahoo import FakeYahoo
from tests.fakes.yahoo_pages import sample_fund
from tests.shared_data import FOLDER, shared
from tests.storage.messages import queue_message

MONDAY, TUESDAY = "2020-10-05T22:00Z", "2020-10-06T22:00Z"  # after the closes of 2020-10-05 and -06


def check(bot: Call, now: str, *more: str) -> Result:
    open_database("bot.db").close()  # check creates none
    return bot("check", "--offline", "--db", "bot.db", "--now", now, *more)


def ask(bot: Call, line: str, now: str) -> Result:
    return bot("chat", "--offline", "--db", "bot.db", "--now", now, stdin=f"{line}\n")


def alert_fires_with_the_day_that_crosses(bot: Call, files: Files) -> None:
    """The life of one alert: armed, not fired by a check too early, fired once, silent on a repeat."""
    files.take_in(bot, "2020-10-05")
    ask(bot, "/alert ratio > sma200", MONDAY)
    assert ask(bot, "/alerts", MONDAY).lines("Armed.")
    early = check(bot, MONDAY)
    assert "no alert turned true" in early.out.splitlines()
    assert not early.lines("fired")

    files.take_in(bot, "2020-10-06")
    fired = check(bot, TUESDAY)
    assert (fired.code, fired.err) == (0, "")
    assert fired.lines("fired", "2020-10-06") == ["alert #1 in chat 1, ratio > sma 200: fired on 2020-10-06"]
    assert fired.lines("last completed session") == [
        "last completed session 2020-10-06; alerts evaluated on prices to 2020-10-06"
    ]
    assert fired.lines("IWM/SPY crossed above its 200-day average")
    assert fired.out.splitlines()[-1] == "messages: 1 sent, 0 waiting"

    again = check(bot, TUESDAY)
    assert again.out.splitlines() == [
        "last completed session 2020-10-06; alerts evaluated on prices to 2020-10-06",
        "no alert turned true",
        "messages: 0 sent, 0 waiting",
    ]


def test_an_alert_fires_on_the_day_that_crosses_and_once(bot: Call, files: Files) -> None:
    alert_fires_with_the_day_that_crosses(bot, files)


@shared
def test_an_alert_fires_on_the_real_day_that_crossed(bot: Call) -> None:
    alert_fires_with_the_day_that_crosses(bot, Files(FOLDER))


def test_the_daily_summary_is_sent_once_when_it_is_due(bot: Call, files: Files) -> None:
    files.take_in(bot, "2020-10-06")
    ask(bot, "/summary on 17:30", "2020-10-06T20:30Z")
    assert not check(bot, "2020-10-06T21:29Z").lines("summar")
    due = check(bot, "2020-10-06T21:31Z")
    assert "1 daily summary queued" in due.out.splitlines()
    assert due.lines("Daily summary · close of Tue 6 Oct 2020")
    assert not check(bot, "2020-10-06T21:40Z").lines("summar")


def test_an_empty_database_has_nothing_to_evaluate(bot: Call) -> None:
    assert check(bot, TUESDAY) == Result(
        0,
        "no alerts evaluated: no prices of both funds are stored; try “refresh” or “import prices”\n"
        "messages: 0 sent, 0 waiting\n",
        "",
    )


def test_messages_of_other_chats_are_left_for_run(bot: Call) -> None:
    body = outbox.MessageBody("news")
    now = "2020-10-06T12:00:00Z"
    with open_database("bot.db") as database:
        database.run_sync(lambda db: queue_message(db, chat_id=5, kind="alert", dedup="a", body=body, now=now))
    for _ in range(2):
        checked = check(bot, TUESDAY)
        assert checked.out.splitlines()[-1] == "messages: 0 sent, 1 waiting for “run”"
        assert "news" not in checked.out


def test_offline_asks_no_source_and_online_does(bot: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(*_: object, **__: object) -> list[str]:
        return ["Yahoo, IWM prices: No data: it was asked."]

    monkeypatch.setattr(scheduler, "refresh", asked)
    assert not check(bot, TUESDAY).lines("Yahoo")
    assert bot("check", "--db", "bot.db", "--now", TUESDAY).lines("Yahoo, IWM prices")
    assert bot("chat", "--db", "bot.db", "--now", TUESDAY).err == "Yahoo, IWM prices: No data: it was asked.\n"


@pytest.mark.parametrize("command", ["check", "chat", "demo"])
def test_a_second_process_on_a_database_is_turned_away(command: str, bot: Call, tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    open_database(path).close()
    with hold_lock(path):
        refused = bot(command, "--db", path)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("error: Another bot (process ")
    assert refused.err.endswith(f") is using {path}; stop it first, or name another file with --db.\n")


def test_run_with_a_held_database_says_at_once_who_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    with hold_lock("bot.db"):
        refused = process("-X", "importtime", "-m", "bot", "run", "--db", "bot.db", start=())
    assert refused.code == 1
    (said,) = [line for line in refused.err.splitlines() if not line.startswith("import time:")]
    assert said.startswith("error: Another bot (process ")
    assert said.endswith(" is using bot.db; stop it first, or name another file with --db.")
    loaded = {line.rpartition("|")[2].strip() for line in refused.err.splitlines()}
    assert not {"pandas", "telegram"} & loaded  # which take seconds: the second starter is told at once


def test_refresh_stores_yahoos_figures(bot: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions()
    last = sessions.last_completed(dt.datetime.now(dt.UTC))
    days = [session.date() for session in sessions.index[sessions.index <= last][-300:]]
    with FakeYahoo(tmp_path) as yahoo:
        yahoo.add(sample_fund("IWM", days, 200.0), sample_fund("SPY", days, 500.0))
        for name, value in yahoo.environment.items():
            monkeypatch.setenv(name, value)
        first = bot("refresh", "--db", "bot.db")
        asked = yahoo.count("chart")
        forget(tmp_path / "cache")
        second = bot("refresh", "--db", "bot.db")
        assert yahoo.count("chart") > asked
        with monkeypatch.context() as patch:
            patch.setattr(getattr(sys.stdout, "unredacted", sys.stdout), "isatty", lambda: True)
            on_a_terminal = bot("refresh", "--db", "bot.db")
        yahoo.fail("all", "429")
        limited = bot("refresh", "--db", "bot.db")
    assert (first.code, first.err) == (0, "")
    ours = [line for line in first.out.splitlines() if line.startswith(("bot.db", "Yahoo"))]
    assert ours == [
        "bot.db is a new database.",
        "Yahoo, IWM prices: 300 prices, 4 distributions. Stored: 304 new, 0 revised.",
        "Yahoo, SPY prices: 300 prices, 4 distributions. Stored: 304 new, 0 revised.",
        "Yahoo, IWM multiples: 4 multiples, 3 sector weights. Stored: 7 new, 0 revised.",
        "Yahoo, SPY multiples: 4 multiples, 3 sector weights. Stored: 7 new, 0 revised.",
        "Yahoo, IWM fund: 1 fund fact, 2 multiples. Stored: 3 new, 0 revised.",
        "Yahoo, SPY fund: 1 fund fact, 2 multiples. Stored: 3 new, 0 revised.",
    ]
    assert (second.code, second.err) == (0, "")
    assert len(second.lines("Stored: 0 new, 0 revised.")) == 6
    table = on_a_terminal.out[on_a_terminal.out.index("IWM        since") :].splitlines()
    assert table[1] == f"prices     {days[0]}  {last:%Y-%m-%d}  Yahoo"
    assert "Lacking: units, holdings, filings." in table
    assert table[-1] == "Filings: set [sec] contact in the config."
    assert limited.code == 1
    asked_to_wait, *kept, what_next = limited.out.splitlines()
    assert len(kept) == 5
    assert all(", not again before " in line for line in kept)
    assert asked_to_wait == "Yahoo, IWM prices: No data: asked to slow down (HTTP 429) and to wait 20 min."
    assert re.fullmatch(
        r"Not everything was fetched\. What is stored stays as it was, with its dates\. A running bot tries "
        r"again from \w{3} \d\d? \w{3} \d{4}, \d\d:\d\d New York on\. Without one, run “refresh” again "
        r"then\. “doctor” shows every source\.",
        what_next,
    )

    answers = bot("chat", "--offline", "--db", "bot.db", stdin="/compare\n/multiples\n/status\n")
    assert answers.lines("leads", f"{last.day} {last:%b %Y}")
    assert answers.lines("Source: Yahoo.")
    assert answers.lines("Morningstar via Yahoo, basis unstated; ")
    assert answers.lines("P/E", "16.0x")
    found = bot("doctor", "--offline", "--db", "bot.db")
    assert found.lines(f"ok   data: prices to {last:%Y-%m-%d}, current; Yahoo")
    assert found.lines("note source Yahoo, IWM prices: ", "; failed 1x: ")


FRIDAY = "2020-12-11T22:00:00Z"
CHAT = 42


def queue(path: Path) -> None:
    """One alert for a chat of Telegram."""
    body = outbox.MessageBody("<b>#1 fired</b>")

    def write(db: sqlite_utils.Database) -> None:
        chat_store.ensure_chat(db, CHAT, "private", "A reader", FRIDAY)
        queue_message(db, chat_id=CHAT, kind="alert", dedup="alert:1", body=body, now=FRIDAY)

    with open_database(path) as database:
        database.run_sync(write)


def configure(folder: Path, api: FakeBotApi, token: str) -> Path:
    config = folder / "config.toml"
    config.write_text(
        f'[telegram]\ntoken = "{token}"\nbase_url = "{api.root}"\n'
        '[storage]\ndatabase = "bot.db"\n[sources]\nyahoo = false\n[issuer]\nfetch = false\n',
        encoding="utf-8",
    )
    config.chmod(0o600)
    return config


async def check_online(bot: Call, config: Path, *more: str) -> Result:
    """The command in a thread, while the fake answers here."""
    return await asyncio.to_thread(bot, "check", "--config", config, "--now", FRIDAY, *more)


async def test_waiting_messages_are_sent_and_not_again(bot: Call, tmp_path: Path) -> None:
    queue(tmp_path / "bot.db")
    async with FakeBotApi() as api:
        api.chat(CHAT, "private")
        config = configure(tmp_path, api, api.token)
        kept = await check_online(bot, config, "--offline")
        assert kept.out.splitlines()[-1] == "messages: 0 sent, 1 waiting for “run”"
        sent = await check_online(bot, config)
        assert (sent.code, sent.err) == (0, "")
        assert sent.out.splitlines()[-1] == "messages: 1 sent, 0 waiting"
        assert [message.text for message in api.messages(CHAT)] == ["#1 fired"]
        again = await check_online(bot, config)
        assert again.out.splitlines()[-1] == "messages: 0 sent, 0 waiting"
        assert len(api.messages(CHAT)) == 1


async def test_a_refused_token_is_said_and_the_message_waits(tmp_path: Path) -> None:
    queue(tmp_path / "bot.db")
    async with FakeBotApi() as api:
        wrong = "1:" + "x" * 35
        config = configure(tmp_path, api, wrong)
        said = await asyncio.to_thread(process, "check", "--config", config, "--now", FRIDAY)
        assert "Telegram refuses this token; ask @BotFather for a valid one." in said.out.splitlines()
        assert said.out.splitlines()[-1] == "messages: 0 sent, 1 waiting for “run”"
        assert wrong not in said.out + said.err
