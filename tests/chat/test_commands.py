"""Every command of the table answers; every mistake gets one clear sentence."""

import datetime as dt
import re
from pathlib import Path

import pytest
import sqlite_utils

from bot.analytics.metrics import METRICS
from bot.chat import market_commands
from bot.chat.commands import BY_NAME, COMMANDS, Command
from bot.local.botapi import ApiMessage
from bot.messages.html import TABLE_WIDTH
from tests.chat.talk import NOW, OCTOBER, OWNER, STEP, Talk, talking
from tests.storage.events import add_event

ON_MARKET = {command.name for command in COMMANDS if command.handler.__module__ == market_commands.__name__} | {
    "alert",
    "alerts",
    "history",
    "status",
}
WITH_PICTURE = {
    "compare", "trend", "seasons", "flows", "multiples", "chart", "fundamentals", "why", "sectors",
    "backtest",
}  # fmt: skip
NO_PRICES = "No prices are stored yet."
WINDOWS = "5d, 1w, 3m, 1y, ytd, mtd, max, since 2020-09-30"
COMPARE = "\nExample: /compare 3y tr asof 2020-12-11"
HELP = "All commands: /help"
BACKTEST = "\nExample: /backtest ratio > sma 200 10y"
TIMES = "such as 18:30 or 6:30pm.\nExample: /summary on 18:30"
HERE = f"Windows: {WINDOWS}; dates: asof 2020-12-11."


def widest(message: ApiMessage) -> int:
    """Characters of the longest line in a fixed-width block."""
    blocks = [
        message.text.encode("utf-16-le")[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le")
        for e in message.entities
        if e["type"] == "pre"
    ]
    return max((len(line) for block in blocks for line in block.splitlines()), default=0)


async def test_every_command_answers_its_example(october: Talk) -> None:
    await october.pass_to(OCTOBER + dt.timedelta(days=1))  # alert #1 fires
    october.now = NOW
    for command in COMMANDS:
        october.now += STEP
        messages = await october.ask(command.example)
        text = messages[0]
        assert "is not" not in text.text.splitlines()[0]
        assert any(message.photo for message in messages) == (command.name in WITH_PICTURE), command.name
        assert widest(text) <= TABLE_WIDTH, command.name


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
async def test_every_command_answers_without_data_too(command: Command, tmp_path: Path) -> None:
    async with talking(None, tmp_path) as talk:
        (answer,) = await talk.ask(command.example)
        expected = {
            "alerts": "No alerts yet.",
            "history": "There is no alert #1 in this chat. Your alerts: /alerts",
            "status": "Status · last completed session Fri 11 Dec 2020",
            "summary": "Daily summary at 18:30 (America/New_York), on every day with a new close.",
            "admin": "Only this bot's owner may use /admin, in their private chat with it.",
            "settings": "Settings of this chat",
            "privacy": "Privacy",
            "export": "Nothing is stored about this chat.",
            "forgetme": "Nothing is stored about this chat.",
            "start": "Small caps against large caps: IWM and SPY",
            "about": "About",
            "help": f"/alert {BY_NAME['alert'].usage}",
        }
        first = answer.text.splitlines()[0]
        assert first == expected.get(command.name, NO_PRICES if command.name in ON_MARKET else first)
        assert (await talk.rows("alerts")) == []


MISTAKES = {
    "/compare asof 2030-01-01": "“asof 2030-01-01” is in the future.\nExample: asof 2020-12-13",
    "/compare asof 2001-01-01": (
        "There is no close of both funds by Mon 1 Jan 2001; history begins Thu 31 Dec 2009.\nExample: asof 2009-12-31"
    ),
    "/flows known 2001-01-01": (
        "Nothing was stored yet on Mon 1 Jan 2001; what is known begins on Sun 13 Dec 2020.\nExample: known 2020-12-13"
    ),
    "/trend known 2030-01-01": "“known 2030-01-01” is in the future.\nExample: known 2020-12-13",
    "/compare since 2020-12-14": f"“since 2020-12-14” begins after the last known close, Fri 11 Dec 2020.{COMPARE}",
    "/compare 1d 2d 3d 4d 5d 6d 7d": f"7 windows are too many; at most 6.{COMPARE}",
    "/chart ratio_vs_sma 50 > 5%": (
        "A picture takes no comparison; with one it is a rule for /alert.\nExample: /chart ratio_vs_sma 50"
    ),
    "/trend 1y 2y": "/trend takes one window.\nExample: /trend 5y",
    "/why 1y 2y": "/why takes one window.\nExample: /why ytd",
    "/multiples 3m": "/multiples takes no window.\nExample: /multiples asof 2020-12-11",
    "/compare 5q": f"“5q” is not a window; one of these works: {WINDOWS}.{COMPARE}",
    "/compare 0d": f"“0d” is out of range (1d to 20000d).{COMPARE}",
    "/compare pirce": f"“pirce” is not understood here. Did you mean price? {HERE}",
    "/compare QQQ": f"“QQQ” is not understood here. Only IWM and SPY are compared, no other ticker. {HERE}",
    "/compare asof": f"“asof” needs a date after it.{COMPARE}",
    "/compare asof 2020-12-11 asof 2020-12-10": f"“asof” is given twice.{COMPARE}",
    "/compare asof 12/10/2020": "“12/10/2020” can be two dates; type 2020-10-12 or 2020-12-10.",
    "/compare asof 2020-13-01": f"“2020-13-01” is not a date: there is no month 13.{COMPARE}",
    "/compare asof 0001-01-01": f"“0001-01-01” is not within 1900 to 2199.{COMPARE}",
    "/flows since 0001-01-01": "“0001-01-01” is not within 1900 to 2199.\nExample: /flows 3m asof 2020-12-11",
    "/backtest ratio > sma 200 100y": f"“100y” is out of range (1y to 30y).{BACKTEST}",
    "/backtest ratio > sma 200 0 years": f"“0 years” is out of range (1y to 30y).{BACKTEST}",
    "/backtest ratio > sma 200 asof 2020-02-30": (f"“2020-02-30” is not a date: there is no 30 Feb 2020.{BACKTEST}"),
    f"/alerts {'9' * 4000}": f"“{'9' * 80}…” is not a page of the alerts.\nExample: /alerts page 2",
    "/chart ratio_vs 5y": ("“ratio_vs” is not a metric. Did you mean ratio_vs_sma?\nExample: /chart ratio_vs_sma 200"),
    "/chart spy flo": "“flo” is not a metric. Did you mean flow?\nExample: /chart flow iwm 5d",
    "/help nonsense": "There is no help on “nonsense”.\nSee: /help",
    "/help momentun": "There is no help on “momentun”. Did you mean momentum?\nExample: /help momentum",
    "/history abc": "“abc” is not an alert's number.\nExample: /history 1",
    "/history 9": "There is no alert #9 in this chat. Your alerts: /alerts",
    "/history ²": "“²” is not an alert's number.\nExample: /history 1",
    "/summary on 25:00": f"“25:00” is not a time of day {TIMES}",
    "/summary 66pm": f"“66pm” is not a time of day {TIMES}",
}


async def test_a_mistake_is_named_in_one_sentence(talk: Talk) -> None:
    assert await talk.texts(MISTAKES) == MISTAKES


# What is sent, the first line of the answer, its second, and the button that works.
UNKNOWN = (
    ("/fluws", "“fluws” is not a command. Did you mean /flows?", HELP, "/flows"),
    ("/xyzzy", "“xyzzy” is not a command.", HELP, "Help"),
    ("good morning", "“good” is not a command.", HELP, "Help"),
    ("/" + 60 * "q", "“" + 40 * "q" + "…” is not a command.", HELP, "Help"),
    (
        "drawdown",
        "“drawdown” is not a command.",
        "drawdown is a metric (Drawdown). Alert: /alert drawdown < -30%",
        "Chart",
    ),
    (
        "Excess 3m > 7",
        "“7” has no unit; this needs percentage points (pp).",
        "Example: /alert new excess 3m > 5pp",
        "Try the example",
    ),
    (
        "/flow",
        "“flow” is not a command. Did you mean /flows?",
        "flow is a metric (Fund flow). Alert: /alert flow iwm 5d > $1bn",
        "Help",
    ),
)


async def test_an_unknown_word_gets_the_nearest_that_works(talk: Talk) -> None:
    for line, first, second, button in UNKNOWN:
        (answer,) = await talk.ask(line)
        assert answer.text == f"{first}\n{second}"
        assert not (await talk.press(answer, button))[0].text.startswith("“")


OTHER_WAYS = {
    "why 3m": "IWM moved mostly with its multiple, 3m",
    "WHY": "IWM rose on a higher multiple while its earnings fell, ytd",
    "/Why\n3m": "IWM moved mostly with its multiple, 3m",
    "/why iwm vs spy": "IWM rose on a higher multiple while its earnings fell, ytd",
    "/multiple": "IWM costs 170% more than SPY by P/E",
    "/valuations": "IWM costs 170% more than SPY by P/E",
    "/plot ratio": "IWM/SPY: 0.5195",
    "/chart iwm": "IWM's price",
    "/chart price spy 5y": "SPY's price",
    "/chart drawdown": "The drawdown of IWM/SPY",
    "/chart spy drawdown 1y": "The drawdown of SPY",
    "/chart return spy 5d 3y": "SPY's price return over 5d",
    "/chart channel since 2015-01-02 1y": "IWM/SPY in sigmas from its line since 2 Jan 2015",
    "/help /compare": "/compare [window ...] [tr|price]",
    "/help compare@small_large_bot": "/compare [window ...] [tr|price]",
    "/help valuation": "/multiples",
    "/help flow": "flow · Fund flow",
    "/help PE_premium": "pe_premium · P/E premium",
    "/start abc": "Small caps against large caps: IWM and SPY",
    "/start@small_large_bot abc": "Small caps against large caps: IWM and SPY",
}


async def test_other_ways_to_say_it(talk: Talk) -> None:
    texts = await talk.texts(OTHER_WAYS)
    firsts = {line: text.splitlines()[0] for line, text in texts.items()}
    assert {line: firsts[line][: len(begins)] for line, begins in OTHER_WAYS.items()} == OTHER_WAYS


async def test_the_help_of_a_multiple_names_the_convention_that_is_stored(talk: Talk) -> None:
    (answer,) = await talk.ask("/help pe_premium")
    assert "yahoo (default losses_in)." in answer.text


async def test_the_help_of_flows_says_how_to_get_units_that_lack(tmp_path: Path) -> None:
    async with talking(None, tmp_path) as talk:
        (flow,), (excess,) = await talk.ask("/help flow", OWNER), await talk.ask("/help excess", OWNER)
    file = "issuer's file brings NAV and units: python -m bot refresh; or download https://www."
    assert [file in flow.text, file in excess.text] == [True, False]


async def test_aliases_name_one_command_each_and_no_metric_hides_behind_one() -> None:
    names = [name for command in COMMANDS for name in (command.name, *command.aliases)]
    assert len(names) == len(set(names)) == len(BY_NAME)
    assert not {alias for command in COMMANDS for alias in command.aliases} & set(METRICS)
    assert all(re.fullmatch("[a-z]{1,32}", name) for name in names)


async def test_a_long_answer_comes_in_parts_with_its_buttons_under_the_last(talk: Talk) -> None:
    await talk.ask(f'/alert ratio > 0.9 note "{"n" * 400}"')

    def fires(db: sqlite_utils.Database) -> None:
        for day in range(10, 22):
            add_event(db, alert_id=1, session=f"2020-12-{day}", transition="fired", now=talk.now, value=0.91)

    await talk.database.run(fires)
    first, *rest = await talk.ask("/history 1")
    assert rest
    assert not first.buttons
    assert rest[-1].buttons
    assert all(f"{day} Dec 2020 · #1" in first.text + rest[0].text for day in range(10, 22))
