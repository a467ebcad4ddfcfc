"""What is done to the files before the power is cut, recorded, and what must hold after the next start.

python -m tests.powerloss.scenes FOLDER NAME...    # with the preload library; writes FOLDER/NAME.record
"""

import asyncio
import datetime as dt
import hashlib
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import sqlite_utils

from bot.cli.data import write_whole
from bot.config import Config
from bot.jobs.backup_files import dated_backups
from bot.jobs.backups import make_backup
from bot.local.botapi import ApiChat, ApiMessage
from storage.backup import backup, restore
from storage.database import broken_references, integrity_check, open_database
from storage.records import get_meta, select, set_meta
from tests.fakes.botapi import FakeBotApi
from tests.faults.cycle import CHATS, REPEAT, prepare, served, tick
from tests.jobs.desk import Desk
from tests.powerloss.disk import Recorded, State
from tests.titles import title_of

DATABASE, COPY, ASIDE, EXPORT = "bot.db", "copy.db", "replaced.db", "prices.csv"
LATER = dt.timedelta(minutes=20)
TICKS = 12
CHECKPOINT_PAGES = 20  # so that a cycle holds several checkpoints
DAYS = (dt.date(2020, 1, 15), dt.date(2020, 1, 16))
NOW = Path("now")  # beside the folder: the instant of the cycle
TEXTS = ("an older export\n" * 900, "a newer export\n" * 900)


class Api(FakeBotApi):
    """Notes how long the record was when a message had come."""

    told: list[tuple[int, str, int]]

    def add_message(self, chat: ApiChat, **values: Any) -> ApiMessage:  # noqa: ANN401 - as the base class
        """As the base class."""
        message = super().add_message(chat, **values)
        self.told.append((chat.chat_id, message.text, Path(os.environ["POWERLOSS_LOG"]).stat().st_size))
        return message


def record(folder: Path, name: str) -> Recorded:
    """Prepare a scene, and play it while what happens in the folder is recorded."""
    scene, log, told = folder / name, Path(os.environ["POWERLOSS_LOG"]), list[tuple[int, str, int]]()
    scene.mkdir()
    before, play = SCENES[name]
    asyncio.run(before(scene))
    files = {str(file): (file.stat().st_ino, file.read_bytes()) for file in scene.rglob("*") if file.is_file()}
    log.touch()
    began = log.stat().st_size
    os.environ["POWERLOSS_FOLDER"] = str(scene)
    asyncio.run(play(scene, told))
    del os.environ["POWERLOSS_FOLDER"]
    recorded = log.read_bytes()[began:]
    return Recorded(name, files, recorded, [(chat, text, at - began) for chat, text, at in told])


async def _nothing(_: Path) -> None:
    """There is nothing yet."""


async def _first_start(folder: Path, _: list[Any]) -> None:
    with open_database(folder / "data" / DATABASE) as database:
        database.run_sync(lambda db: set_meta(db, "word", "committed"))


async def _cycle_before(folder: Path) -> None:
    now = await prepare(folder / DATABASE)
    (folder.parent / NOW).write_text(now.isoformat())


async def _cycle(folder: Path, told: list[tuple[int, str, int]]) -> None:
    desk = await _desk(folder)
    async with Api() as api, served(desk, api) as scheduler:
        api.told = told
        for _ in range(2):
            await tick(desk, scheduler)
    desk.database.close()


async def _desk(folder: Path) -> Desk:
    desk = Desk(folder / DATABASE)
    desk.now, desk.services.live = dt.datetime.fromisoformat((folder.parent / NOW).read_text()), True
    await desk.database.run(lambda db: db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"), plain=True)
    return desk


def _config(folder: Path) -> Config:
    return Config().with_keys(storage={"database": folder / DATABASE}, backup={"keep": 1})


async def _backup_before(folder: Path) -> None:
    _marked(folder / DATABASE, "old")
    make_backup(_config(folder), DAYS[0])


async def _backup(folder: Path, _: list[Any]) -> None:
    make_backup(_config(folder), DAYS[1])


async def _restore_before(folder: Path) -> None:
    path, log = folder / DATABASE, folder / f"{DATABASE}-wal"
    _marked(path, "new")
    backup(path, folder / COPY)
    with open_database(path) as database:
        database.run_sync(lambda db: set_meta(db, "word", "old"))
        contents = {file: file.read_bytes() for file in (path, log)}  # as a process leaves them that is killed
    for file, content in contents.items():
        file.write_bytes(content)


async def _restore(folder: Path, _: list[Any]) -> None:
    restore(folder / COPY, folder / DATABASE, folder / ASIDE, lambda db: set_meta(db, "settled", "yes"))


async def _export_before(folder: Path) -> None:
    (folder / EXPORT).write_text(TEXTS[0])


async def _export(folder: Path, _: list[Any]) -> None:
    write_whole(folder / EXPORT, TEXTS[1])


def _marked(path: Path, word: str) -> None:
    with open_database(path) as database:
        database.run_sync(lambda db: set_meta(db, "word", word))


Before = Callable[[Path], Coroutine[Any, Any, None]]
Play = Callable[[Path, list[Any]], Coroutine[Any, Any, None]]
SCENES: dict[str, tuple[Before, Play]] = {
    "first start": (_nothing, _first_start),
    "cycle": (_cycle_before, _cycle),
    "backup": (_backup_before, _backup),
    "restore": (_restore_before, _restore),
    "export": (_export_before, _export),
}


# After the cut


class Judge:
    """Opens the files of states and says what is not as it must be. What was judged once is known."""

    def __init__(self) -> None:
        self._known: dict[object, list[str]] = {}
        self.lives = 0

    async def problems(self, name: str, folder: Path, state: State) -> list[str]:
        """What is wrong with the files that are left of a scene; what is done must be there."""
        path, over = folder / DATABASE, state.over
        if name == "export":
            return [] if (folder / EXPORT).read_text() in TEXTS[over:] else ["the export is not whole"]
        if name == "first start":
            return _word(folder / "data" / DATABASE, ["committed"] if over else ["committed", None])
        if name == "backup":
            copies = dated_backups(_config(folder))
            problems = [wrong for file in (path, *(copy for _, copy in copies)) for wrong in _word(file, ["old"])]
            is_there = DAYS[1] in dict(copies) if over else copies
            return problems + ([] if is_there else ["the backup is lost"])
        if name == "restore":
            problems = _word(path, ["old", "new"][over:]) + _word(folder / COPY, ["new"])
            return problems + (_word(folder / ASIDE, ["old"]) if _word(path, ["old"]) else [])
        return await self._after_cycle(folder, state.told)

    async def _after_cycle(self, folder: Path, told: list[tuple[int, str]]) -> list[str]:
        desk = await _desk(folder)
        problems = await desk.database.run(_sound, plain=True)
        key = (await desk.database.run(_digest), tuple(told))
        if not problems and key not in self._known:
            self.lives += 1
            self._known[key] = await life(desk, told)
        desk.database.close()
        return problems or self._known[key]


def _sound(db: sqlite_utils.Database) -> list[str]:
    return [*integrity_check(db), *broken_references(db)]


def _word(path: Path, wanted: Sequence[str | None]) -> list[str]:
    """What is wrong with a database that must hold one of these words."""
    if not path.exists() and None not in wanted:
        return [f"{path.name} is lost"]
    with open_database(path) as database:
        word = database.run_sync(lambda db: get_meta(db, "word"))
        problems = database.run_sync(_sound, plain=True)
    return problems if word in wanted else [*problems, f"{path.name} holds the word {word}"]


def _digest(db: sqlite_utils.Database) -> str:
    rows = [(name, select(db, f"SELECT * FROM [{name}]")) for name in sorted(db.table_names())]  # noqa: S608 - names of tables
    return hashlib.sha256(repr(rows).encode()).hexdigest()


async def life(desk: Desk, told: list[tuple[int, str]]) -> list[str]:
    """Let the bot start on what is left and send; what is lost, unmarked or repeated too often."""
    desk.now += LATER
    rows = await desk.query("SELECT chat_id FROM outbox WHERE status = 'sending' OR unknown > 0")
    unknown = {row["chat_id"] for row in rows}
    async with FakeBotApi() as api, served(desk, api) as scheduler:
        await scheduler._delivery.recover()
        for _ in range(TICKS):
            await tick(desk, scheduler)
            waiting = await desk.query("SELECT 1 FROM outbox WHERE status NOT IN ('sent', 'dead')")
        received = [*told, *((chat, message.text) for chat in CHATS for message in api.messages(chat))]
    problems = [*await desk.database.run(_sound, plain=True), *["a message is not finished" for _ in waiting]]
    for chat_id in CHATS:
        texts = [text for chat, text in received if chat == chat_id]
        alerts = [text for text in texts if title_of(text.removeprefix(REPEAT)).startswith("#1 fired")]
        unmarked = sum(not text.startswith(REPEAT) for text in alerts)
        if unmarked > 1 or not 1 <= len(alerts) <= 2:
            problems.append(f"chat {chat_id} got its alert {len(alerts)} times, {unmarked} unmarked")
        summaries = sum("Daily summary" in text for text in texts)
        if not summaries <= 1 <= summaries + (chat_id in unknown):
            problems.append(f"chat {chat_id} got {summaries} summaries")
    if len(events := await desk.events()) != len(CHATS):
        problems.append(f"events: {events}")
    return problems


def main() -> None:
    """Record the scenes."""
    folder, *names = sys.argv[1:]
    for name in names:
        recorded = record(Path(folder), name)
        (Path(folder) / f"{name}.record").write_bytes(msgspec.msgpack.encode(recorded))


if __name__ == "__main__":
    main()
