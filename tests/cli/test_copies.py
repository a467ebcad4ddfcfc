from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from storage import outbox, sources
from storage.db import hold_lock, open_database

if TYPE_CHECKING:
    from tests.cli.conftest import Call, Files

TUESDAY = "2020-10-06T22:00Z"
MARKED = "their alerts may have been sent before: marked “possible repeat”; summaries due until now: left out"
WORDS = {"html": "news", "plain": "news", "buttons": [], "silent": False}


def ask(bot: Call, line: str) -> str:
    """What the terminal's bot answers."""
    return bot("chat", "--offline", "--db", "bot.db", "--now", TUESDAY, stdin=f"{line}\n").out


def test_a_backup_is_made_and_replaced(bot: Call) -> None:
    bot("check", "--offline", "--db", "bot.db")
    for _ in range(2):
        made = bot("backup", "copy.db", "--db", "bot.db")
        assert (made.code, made.err) == (0, "")
        assert re.fullmatch(r"copy\.db: [\d,]+ rows in \d+ tables, verified\n", made.out)


def test_without_a_name_it_is_todays_among_the_nightly_ones(bot: Call) -> None:
    bot("check", "--offline", "--db", "bot.db")
    made = bot("backup", "--db", "bot.db")
    assert re.match(r"backups/bot-20\d\d-\d\d-\d\d\.db: ", made.out)
    assert Path(made.out.partition(":")[0]).is_file()


def test_without_a_database_there_is_nothing_to_copy(bot: Call) -> None:
    refused = bot("backup", "copy.db", "--db", "bot.db")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "error: There is no database at bot.db; name another file, e.g. --db bot.sqlite3.\n"
    )


def test_wrecked_and_restored_the_bot_answers_as_before(bot: Call, files: Files) -> None:
    files.take_in(bot, "2020-10-06")
    ask(bot, "/alert ratio > 0.9")
    questions = ("/compare 3m", "/alerts", "/flows")
    before = [ask(bot, line) for line in questions]
    assert "ratio > 0.9" in before[1]
    assert bot("backup", "copy.db", "--db", "bot.db").code == 0
    Path("bot.db").write_bytes(b"wrecked" * 10_000)

    restored = bot("restore", "copy.db", "--db", "bot.db")
    assert (restored.code, restored.err) == (0, "")
    first, aside, tick, marked = restored.out.splitlines()
    assert re.fullmatch(r"copy\.db is now bot\.db: [\d,]+ rows in \d+ tables, verified", first)
    found = re.fullmatch(
        r"what was there is kept as (bot-replaced-\d{4}-\d\d-\d\dT\d{6}Z\.db); delete it when all is well",
        aside,
    )
    assert found is not None
    assert Path(found[1]).read_bytes() == b"wrecked" * 10_000
    assert tick.startswith("the backup's last tick: 20")
    assert marked == MARKED
    assert [ask(bot, line) for line in questions] == before


def test_what_waited_is_counted(bot: Call) -> None:
    with open_database("bot.db") as database:
        for kind, chat in (("alert", 5), ("notice", 5), ("summary", 5)):
            database.run_sync(
                lambda db, kind=kind, chat=chat: outbox.enqueue(  # type: ignore[misc]  # bound now
                    db, chat_id=chat, kind=kind, dedup=kind, payload=WORDS, now="2020-10-06T22:00:00Z"
                )
            )
    bot("backup", "copy.db", "--db", "bot.db")
    Path("bot.db").unlink()
    restored = bot("restore", "copy.db", "--db", "bot.db")
    assert restored.out.splitlines()[1:] == [
        (
            "the backup's last tick: before the bot's first tick; "
            "sessions since are judged when the bot runs and has their data"
        ),
        MARKED,
        "2 messages waited then: sent, marked “possible repeat”",
        "1 summary waited then: left out",
    ]


def test_what_is_no_backup_is_refused_and_the_newest_is_named(bot: Call) -> None:
    bot("check", "--offline", "--db", "bot.db")
    refused = bot("restore", "none.db", "--db", "bot.db")
    assert (refused.code, refused.err) == (1, "error: There is no backup none.db.\n")
    made = bot("backup", "--db", "bot.db").out.partition(":")[0]
    refused = bot("restore", "none.db", "--db", "bot.db")
    assert refused.err == f"error: There is no backup none.db; the newest is {made}.\n"


def test_beside_a_running_bot_a_backup_is_made_and_a_restore_refused(bot: Call) -> None:
    with open_database("bot.db") as database, hold_lock("bot.db"):
        database.run_sync(lambda db: sources.beat(db, "2020-10-06T22:00:00Z"))
        assert bot("backup", "copy.db", "--db", "bot.db").code == 0
        refused = bot("restore", "copy.db", "--db", "bot.db")
    assert refused.code == 1
    assert refused.err.startswith("error: Another bot (process ")


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_help_explains_the_file(command: str, bot: Call) -> None:
    assert "FILE" in bot(command, "--help").out
