"""Throughput of the outbox with all rate limits lifted, beside a bare loop that sends the same.

    python -m benchmarks.fanout

Both send the same text with a button to a chat each, over HTTP, to a server in a process of its own that
answers after 10 ms. The bare loop is python-telegram-bot's own, with 30 requests at once, and stores nothing.
The outbox commits each row before and after its request, with synchronous FULL. Rounds alternate.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from telegram import InlineKeyboardButton, InlineKeyboardMarkup
from telegram.constants import ParseMode
from telegram.ext import ExtBot
from telegram.request import HTTPXRequest

from benchmarks.results import Result, compared
from bot.delivery.drain import Delivery
from bot.delivery.rate_limiter import SendBudget, SlidingWindow
from bot.delivery.request import TelegramRequest
from storage import chat_store, outbox
from storage.database import open_database

if TYPE_CHECKING:
    import sqlite_utils

ROUNDS, MESSAGES, AT_ONCE = 5, 500, 30
SHARE = 0.6  # of the bare loop's throughput
TEXT = "🔔 <b>ratio_vs_sma 200 &gt; 5%</b>\nIWM/SPY is 5.2% above its 200-day average\n" + "More words. " * 20
BUTTON = ("Pause", "a:1:pause")
SERVER = '''
import asyncio
# of getMe and of sendMessage
ANSWER = b"""{"ok":true,"result":{"id":1,"is_bot":true,"first_name":"B","message_id":7,"date":1600000000,
"chat":{"id":5,"type":"private"},"text":"x"}}"""
LENGTH = b"Content-Length: %d\\r\\n\\r\\n" % len(ANSWER)
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\n" + LENGTH
async def handle(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\\r\\n")[0]
            await reader.readexactly(int(length or 0))
            await asyncio.sleep(0.01)
            writer.write(HEAD + ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
'''


def run(quick: bool = False) -> list[Result]:
    """Return messages a second, and CPU a message."""
    with _server() as base_url, tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measured(base_url, Path(folder), 1 if quick else ROUNDS, 100 if quick else MESSAGES))


async def _measured(base_url: str, folder: Path, rounds: int, count: int) -> list[Result]:
    own, peer = list[tuple[float, float]](), list[tuple[float, float]]()
    for number in range(rounds + 1):
        ours, bare = await _outbox(base_url, folder / f"{number}.db", count), await _bare(base_url, count)
        if number:  # the first loads what is needed
            own.append(ours)
            peer.append(bare)
    rates, peers = ([count / wall for wall, _ in side] for side in (own, peer))
    cpu, peers_cpu = ([1000 * cpu / count for _, cpu in side] for side in (own, peer))
    beside = f"beside a loop with {AT_ONCE} requests at once"
    return [
        compared(f"messages of the outbox, {beside}", "a second", rates, peers, SHARE, at_least=True),
        compared(f"CPU of a message, {beside}", "ms CPU", cpu, peers_cpu, 1 / SHARE),
    ]


async def _bare(base_url: str, count: int) -> tuple[float, float]:
    markup = InlineKeyboardMarkup([[InlineKeyboardButton(BUTTON[0], callback_data=BUTTON[1])]])
    at_once = asyncio.Semaphore(AT_ONCE)
    async with ExtBot("1:T", base_url, request=HTTPXRequest(connection_pool_size=AT_ONCE)) as bot:

        async def send(chat: int) -> None:
            async with at_once:
                await bot.send_message(chat, TEXT, parse_mode=ParseMode.HTML, reply_markup=markup)

        return await _timed(lambda: asyncio.gather(*(send(chat) for chat in range(1, count + 1))))


async def _outbox(base_url: str, path: Path, count: int) -> tuple[float, float]:
    def now() -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def fill(db: sqlite_utils.Database) -> None:
        body = outbox.MessageBody(TEXT, buttons=[[BUTTON]])
        for chat in range(1, count + 1):
            chat_store.ensure_chat(db, chat, "private", "A", now())
            outbox.enqueue(db, outbox.NewMessage(chat, None, "alert", str(chat), body), now())

    limits = SendBudget()
    limits.budget.overall = SlidingWindow(1_000_000, 1.0)
    with open_database(path) as database:
        await database.run(fill)
        request = TelegramRequest(connection_pool_size=AT_ONCE, read_timeout=30)
        async with ExtBot("1:T", base_url, request=request, rate_limiter=limits) as bot:
            delivery = Delivery(bot, database, now=now)
            taken = await _timed(delivery.drain)
        counts = await database.run(lambda db: outbox.count_by_status(db, sent=True))
    if counts != {"sent": count}:
        raise RuntimeError(f"of {count} messages these were sent: {counts}")
    return taken


async def _timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return the seconds and the CPU seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    await work()
    return time.perf_counter() - began, time.process_time() - cpu


@contextmanager
def _server() -> Iterator[str]:
    """Run the server. Yields its address."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
        try:
            if process.stdout is None:
                raise RuntimeError("the server has no output")
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/bot"
        finally:
            process.terminate()


if __name__ == "__main__":
    for result in run():
        print(result)
