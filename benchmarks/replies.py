"""Latency of answers over HTTP, beside a bare python-telegram-bot bot that sends the same texts and pictures.

    python -m benchmarks.replies [--rounds 5]

The bot on the sample market and the peer are processes of their own, each with a strict fake Bot API in this
one. A latency is the time from a person's command to the request that answers it; rounds alternate between
the two. The peer learns what to send from the bot's first answers: a text, or a picture with its caption,
uploaded once and then sent by its file id. An answer that nobody asked for before is a text at first, to
which its picture is added later. The bot's limit of messages a second is lifted, which would be all that is
measured of 50 people at once.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from benchmarks import judging, sql
from benchmarks.results import Result
from benchmarks.start import PATIENCE, _running
from bot.jobs.scheduler import Scheduler
from bot.services import chats
from bot.serving import SWITCH_SECONDS
from storage.database import Database, open_database
from tests.chat.talk import make_sample
from tests.fakes.botapi import FakeBotApi
from tests.fakes.pictures import png

if TYPE_CHECKING:
    from bot.delivery.drain import Delivery

PEER = """
import base64, json, sys
from telegram import InlineKeyboardMarkup, Update
from telegram.ext import Application, MessageHandler, filters
root, token, file = sys.argv[1:]
answers, file_ids = json.load(open(file)), {}
async def answer(update, context):
    line, *window = update.message.text.split()
    what = answers[line]
    markup = what["markup"] and InlineKeyboardMarkup.de_json(what["markup"], context.bot)
    options = {"parse_mode": "HTML", "reply_markup": markup}
    if window or not what["photo"]:
        await update.message.reply_text(what["text"], **options)
        return
    photo = file_ids.get("photo", base64.b64decode(answers["png"]))
    sent = await update.message.reply_photo(photo, what["text"], show_caption_above_media=True, **options)
    file_ids["photo"] = sent.photo[-1].file_id
application = Application.builder().token(token).base_url(f"{root}/bot").concurrent_updates(True).build()
application.add_handler(MessageHandler(filters.TEXT, answer))
application.run_polling()
"""
BOT = """
import sys
from bot.delivery import rate_limiter
rate_limiter.OVERALL_LIMIT = (1_000_000, 1.0)
from bot.cli import main
sys.exit(main())
"""
TEXTS = ("/help", "/alerts")
PAGES = ("/compare", "/trend", "/flows", "/multiples")
ASKED, AT_ONCE = 20, 50  # commands of one line in a round; people
DRAWING = 1.0  # seconds, in which a picture is drawn and added
_people = count(1_000)  # each asks once, so that nobody's quota ends


@dataclass
class Side:
    """One of the two bots: its server, and the seconds until its answers by what was asked."""

    api: FakeBotApi
    seconds: dict[str, list[list[float]]] = field(default_factory=dict)

    async def ask(self, line: str, people: int, method: str) -> list[float]:
        """Return the seconds until each of as many people who ask at once is answered by a method."""
        self.api.requests.clear()
        said = {}
        for person in (next(_people) for _ in range(people)):
            self.api.say(person, line)
            said[person] = time.time()
        await self.api.until(lambda: len(self.api.calls(method)) >= people, PATIENCE)
        return [call.at - said[call.chat_id or 0] for call in self.api.calls(method)]

    def note(self, name: str, waits: list[float]) -> None:
        """Note the latencies of a round."""
        self.seconds.setdefault(name, []).append(waits)

    async def round(self, number: int) -> None:
        """Ask every line, by one person after another and by many at once."""
        for line in (*TEXTS, *PAGES):
            name, method = (f"picture of {line}", "sendPhoto") if line in PAGES else (line, "sendMessage")
            self.note(name, [(await self.ask(line, 1, method))[0] for _ in range(ASKED)])
            self.note(f"{name}, {AT_ONCE} at once", await self.ask(line, AT_ONCE, method))
        for line in PAGES[:3]:
            first = await self.ask(f"{line} {300 + number}d", 1, "sendMessage")
            self.note(f"text of {line}, asked for the first time", first)
            await asyncio.sleep(DRAWING)


def run(quick: bool = False) -> list[Result]:
    """Return all figures."""
    return [*measure(1 if quick else 5), storage_wait(1_000 if quick else 100_000)]


def storage_wait(alerts: int) -> Result:
    """Return how long replies wait for storage while alerts are judged and committed, others pruned."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "bot.db"
        asyncio.run(judging.build(path, alerts, 0.01))
        with open_database(path) as database:
            for table in ("alert_events", "outbox"):
                values = {"count": alerts // 5, "first": "2010-01-01", "alerts": alerts}
                database.run_sync(partial(sql.fill, table=table, values=values))
            database.run_sync(lambda db: db.execute("UPDATE chats SET summary_at = '17:00'"))
            storage, thread = (1000 * _p99([waits]) for waits in asyncio.run(_waits(database)))
    name, note = (f"a reply's wait for storage during a tick of {alerts:,} alerts: p99", "an empty job in a thread")
    return Result(name, storage, "ms", 20.0, note=f"{note}: {thread:.3g} ms")


async def _waits(database: Database) -> tuple[list[float], list[float]]:
    """Return the seconds that commands wait for what they read, and for nothing, during a tick."""
    now, waits, idle = [judging.MADE], list[float](), list[float]()
    services = judging.services_at(database, now)
    outage_notifier = SimpleNamespace(notify=print)
    delivery = SimpleNamespace(wake=lambda: None, stopped="", outage_notifier=outage_notifier)
    scheduler = Scheduler(services, (), cast("Delivery", delivery))
    await scheduler.evaluate()
    chats.standing(services, 1, 1, 0)  # opens the connection
    sys.setswitchinterval(SWITCH_SECONDS)  # as the bot does
    now[0] = judging.NEXT_DAY
    working = asyncio.create_task(scheduler.run_jobs())
    while not working.done():
        begun = time.perf_counter()
        chats.standing(services, 1, 1, len(waits))
        read = time.perf_counter()
        await asyncio.to_thread(lambda: None)
        waits.append(read - begun)
        idle.append(time.perf_counter() - read)
        await asyncio.sleep(0.01)
    await working
    return waits, idle


def measure(rounds: int = 5) -> list[Result]:
    """Return all figures, medians of so many rounds."""
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_measured(Path(name), rounds))


async def _measured(folder: Path, rounds: int) -> list[Result]:
    make_sample(folder / "bot.db")
    async with AsyncExitStack() as running:
        own, peer = [Side(await running.enter_async_context(FakeBotApi(poll_limit=30))) for _ in range(2)]
        config, answers = folder / "config.toml", folder / "answers.json"
        config.write_text(
            f'[telegram]\ntoken = "{own.api.token}"\nbase_url = "{own.api.root}"\n[storage]\n'
            'database = "bot.db"\n[access]\nmode = "open"\n'
            "[sources]\nyahoo = false\n[issuer]\nfetch = false\n"
        )
        config.chmod(0o600)
        await running.enter_async_context(_running(own.api, ("-c", BOT, "run", "--config", str(config))))
        answers.write_text(json.dumps(await _first_answers(own.api)))
        arguments = ("-c", PEER, peer.api.root, peer.api.token, str(answers))
        await running.enter_async_context(_running(peer.api, arguments))
        for number in range(rounds + 1):
            for side in (own, peer) if number % 2 else (peer, own):
                await side.round(number)
    return [row for name in own.seconds for row in _rows(name, own.seconds[name][1:], peer.seconds[name][1:])]


async def _first_answers(api: FakeBotApi) -> dict[str, object]:
    """Return what the bot answers to each line, for the peer to send."""
    learned: dict[str, object] = {"png": base64.b64encode(png(1280, 800)).decode()}
    for line in (*TEXTS, *PAGES):
        person, photo = next(_people), line in PAGES
        api.say(person, line)
        method = "editMessageMedia" if photo else "sendMessage"
        await api.until(lambda who=person, of=method: api.calls(of, who), PATIENCE)  # type: ignore[misc]
        await asyncio.sleep(DRAWING if photo else 0)
        (text,) = api.calls("sendMessage", person)
        markup = json.loads(text.fields.get("reply_markup", "null"))
        learned[line] = {"text": text.fields["text"], "markup": markup, "photo": photo}
    return learned


def _rows(name: str, own: Sequence[list[float]], peer: Sequence[list[float]]) -> list[Result]:
    """Return the median over the rounds of each round's p50, and the p99 of all, both in milliseconds."""
    halves = [1000 * statistics.median(map(statistics.median, rounds)) for rounds in (own, peer)]
    first = name.endswith("first time")
    rows = [Result(f"{name}: p50", halves[0], "ms", 3.0 if first else 1.5, halves[1])]
    if not first:
        late = [1000 * _p99(rounds) for rounds in (own, peer)]
        rows.append(Result(f"{name}: p99", late[0], "ms", 3.0, late[1]))
    return rows


def _p99(rounds: Sequence[list[float]]) -> float:
    return statistics.quantiles([wait for waits in rounds for wait in waits], n=100)[-1]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of which medians are taken (5)")
    for result in (*measure(parser.parse_args().rounds), storage_wait(100_000)):
        print(result)


if __name__ == "__main__":
    main()
