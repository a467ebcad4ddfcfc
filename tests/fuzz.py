"""Made-up buttons and deep links, pressed and followed by people who have no right to anything.

    python -m tests.fuzz [--payloads 100000] [--seed 1]

A group, the owner and another chat have an alert each, with a secret in its note. A stranger, somebody
blocked, a plain member of the group and the other chat's member send payloads: noise, mutilated buttons,
command lines with others' ids. Nothing that is not theirs may change, no secret may be shown in another
chat, the stranger and the blocked get no answer, nothing may raise or be logged as an error.
"""

import argparse
import asyncio
import logging
import random
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.chat.commands import COMMANDS
from bot.chat.reply import FAILED, UNUSABLE
from bot.local.botapi import ApiMessage, Json
from storage import chat_store
from tests.chat.people import (
    ADMIN,
    BLOCKED,
    PEOPLE,
    SECRETS,
    STRANGER,
    Person,
    command_lines,
    every_button,
    no_pictures,
    pressed,
    rows,
    typed,
    village,
)
from tests.chat.talk import GROUP, OWNER, STEP, YOU, Talk, make_sample

BATCH = 250  # payloads between two looks at the database
SELDOM = 100  # one payload in so many is of a command that takes long
SLOW = ("backtest", "chart", "multiples", "fundamentals", "flows", "trend", "compare", "why", "sectors")
_LINK = string.ascii_letters + string.digits + "_-"
_ODD = "\x00\n\t/@#%'\"\\{}[]<>&;é😀\u202e\u2212" + string.ascii_letters + string.digits + " "
_IDS = (1, 2, 0, -1, 99999999999999999999, OWNER, GROUP, YOU, STRANGER, BLOCKED, ADMIN, "1e9", "१")


@dataclass
class Report:
    """What was sent, and all that should not have come of it."""

    payloads: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    changes: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing came of it."""
        return not (self.changes or self.leaks or self.errors)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.payloads.items()))
        return (
            f"{self.payloads.total():,} payloads ({kinds}): {self.answers:,} answers, "
            f"{len(self.changes)} foreign changes, {len(self.leaks)} foreign reads, {len(self.errors)} errors"
        )


class Payloads:
    """Payloads by a seed."""

    def __init__(self, seed: int, shown: list[str]) -> None:
        self._random = random.Random(seed)
        self._shown = [data for data in shown if data[2:].split()[0] not in SLOW]
        self._lines = [line for line in command_lines() if line[1:].split()[0] not in SLOW]
        self._slow = [data for data in shown if data[2:].split()[0] in SLOW]

    def button(self) -> str:
        """Data of a button, at most 64 bytes as Telegram has it."""
        pick = self._random
        if not pick.randrange(SELDOM):
            return _cut(pick.choice("er") + self._mutilated(self._slow))
        line = pick.choice(
            (self._noise, self._mutilated, self._foreign, lambda: pick.choice(self._lines), self._named)
        )()
        head = pick.choice(("e", "r", "e", "r", "e", "x", "", "/"))
        return _cut(f"{head}{line}" if pick.random() < 0.9 else line)

    def link(self) -> str:
        """What follows /start, mostly in the letters that Telegram allows there."""
        pick = self._random
        if pick.random() < 0.7:
            return "".join(pick.choices(_LINK, k=pick.randint(1, 64)))
        return pick.choice((self._noise, self._foreign, self._mutilated))()

    def _noise(self) -> str:
        return "".join(self._random.choices(_ODD, k=self._random.randint(1, 40)))

    def _mutilated(self, shown: list[str] | None = None) -> str:
        pick = self._random
        letters = list(pick.choice(shown or self._shown)[1:])
        for _ in range(pick.randint(1, 3)):
            at = pick.randrange(len(letters))
            letters[at : at + pick.randint(0, 2)] = pick.choice(("", *_ODD))
            letters = letters or ["/"]
        return "".join(letters)

    def _foreign(self) -> str:
        """A command line about somebody else's things."""
        pick = self._random
        verb = pick.choice(("alert", "history", "admin approve", "admin reject", "admin send", "forgetme", "export"))
        rest = pick.choice(("", " off", " pause", " why", " edit ratio > 0.1", " snooze 3d", " renew", " yes"))
        return f"/{verb} {pick.choice(_IDS)}{rest}"

    def _named(self) -> str:
        pick = self._random
        name = pick.choice([command.name for command in COMMANDS if command.name not in SLOW])
        return f"/{name}{pick.choice(('', ' ', '@x ', chr(10)))}{self._noise()}"


def _cut(data: str) -> str:
    """At most 64 bytes, at least one letter."""
    return data.encode()[:64].decode(errors="ignore") or "e"


class Faults(logging.Handler):
    """Gathers what is logged as an error, tracebacks included."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = errors

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's words."""
        self._found.append(self.format(record))


async def fuzz(sample: Path, folder: Path, shown: list[str], payloads: int, seed: int) -> Report:
    """Send that many payloads, some of them made of the buttons that are `shown`; what came of them."""
    report = Report()
    watching = Faults(report.errors)
    source = Payloads(seed, shown)
    logging.getLogger().addHandler(watching)
    try:
        async with village(sample, folder) as talk:
            await _send(talk, source, payloads, report)
    finally:
        logging.getLogger().removeHandler(watching)
    return report


async def _send(talk: Talk, source: Payloads, payloads: int, report: Report) -> None:
    everybody = [who for who in PEOPLE if who.name in {"stranger", "blocked", "member", "other chat's member"}]
    pages = {who.name: talk.api.add_message(talk.api.chat(who.chat_id), text="a page") for who in everybody}
    for who in everybody:
        await talk.deliver(typed(talk, who, "/start"))
    talk.api.requests.clear()
    before = await talk.database.run(_others)
    for number in range(payloads):
        who = everybody[number % len(everybody)]
        talk.now += STEP / len(everybody)
        talk.api.callback_queries.clear()
        await talk.deliver(_update(talk, source, who, pages[who.name], report))
        _listen(talk, who, report)
        if number % BATCH == BATCH - 1 or number == payloads - 1:
            before = await _look(talk, before, pages.values(), report, number)


def _update(talk: Talk, source: Payloads, who: Person, page: ApiMessage, report: Report) -> Json:
    """A deep link in one of four, in private; else a button."""
    if who.chat_id == who.user_id and source._random.random() < 0.25:
        report.payloads["deep links"] += 1
        return typed(talk, who, f"/start {source.link()}")
    report.payloads["buttons"] += 1
    return pressed(talk, who, page, source.button())


def _listen(talk: Talk, who: Person, report: Report) -> None:
    """Read all that the bot has said since the last payload, edits, notes and files too."""
    for call in talk.api.requests:
        text = " ".join(call.fields.values()) + " ".join(map(repr, call.files.values()))
        report.answers += call.method.startswith(("send", "edit")) or "text" in call.fields
        where = who.chat_id if call.chat_id is None else call.chat_id
        to_outsider = where in (STRANGER, BLOCKED) and ("text" in call.fields or "caption" in call.fields)
        if to_outsider or any(secret in text for chat_id, secret in SECRETS.items() if chat_id != where):
            report.leaks.append(f"to {where}, by {who.name}: {text}")
        if FAILED in text or UNUSABLE in text:
            report.errors.append(f"to {who.name}: {text}")
    talk.api.requests.clear()


async def _look(
    talk: Talk, before: dict[str, Any], pages: Collection[ApiMessage], report: Report, number: int
) -> dict[str, Any]:
    """Compare what is others' with what it was, and forget the messages."""
    after = await talk.database.run(_others)
    report.changes += [f"by payload {number}: {table}" for table in after if after[table] != before.get(table)]
    for message in list(talk.api.history.values()):
        if message not in pages:
            del talk.api.history[message.message_id]
    return after


def _others(db: Any) -> dict[str, Any]:  # noqa: ANN401 - sqlite_utils.Database
    """Every row but those of the other chat's member, who may change what is theirs."""
    own = chat_store.export_chat(db, YOU)
    return {
        table: [row for row in table_rows if row not in own.get(table, [])] for table, table_rows in rows(db).items()
    }


def main() -> int:
    """Fuzz as long as asked; 1 when something came of it."""
    parser = argparse.ArgumentParser(description="Made-up buttons and deep links.")
    parser.add_argument("--payloads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, handlers=[logging.NullHandler()])  # the report tells them
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        no_pictures(patch)
        folder = Path(name)
        sample = make_sample(folder / "sample.db")
        (folder / "shown").mkdir()
        shown = asyncio.run(every_button(sample, folder / "shown"))
        report = asyncio.run(fuzz(sample, folder, shown, arguments.payloads, arguments.seed))
    sys.stdout.write(f"{report} in {time.perf_counter() - began:.0f} s (seed {arguments.seed})\n")
    for finding in (*report.changes, *report.leaks, *report.errors):
        sys.stdout.write(f"{finding[:500]}\n")
    return 0 if report.clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
