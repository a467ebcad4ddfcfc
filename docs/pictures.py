"""The pictures of the documentation, made from what the demo really answers.

    python -m docs.pictures [FOLDER]        # writes chat.png and compare.png, by default into docs/

The demo's story is played through the real Application; `Recorder` keeps every message on both
sides, and `docs.phone` draws some of them as they stand on a phone.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bot import app
from bot.cli.demo import DEMO_NOW, QUESTIONS_NOW, play
from bot.config import Config
from bot.local.terminal import LocalClock, Terminal
from docs.phone import Bubble, Chat, draw
from storage.database import open_database

if TYPE_CHECKING:
    from collections.abc import Callable

    from telegram import Bot, Update

    from bot.local.botapi import ApiEvent


# What the phones show: text that a message of the story begins with, and how many messages from there.
SCREENS = (("/compare", 2), ("/alert ratio", 6))


class Recorder(Terminal):
    """The terminal's chat, with every message on both sides kept."""

    def __init__(self, now: Callable[[], dt.datetime]) -> None:
        super().__init__(lambda _: None, None, now)
        self.now = now
        self.bubbles: list[Bubble] = []
        self.api.listeners.append(self._keep)

    def update_for(self, line: str, bot: Bot | None = None) -> Update | None:
        """As in the terminal, and keep the line."""
        self.bubbles.append(Bubble(self.now(), line, mine=True))
        return super().update_for(line, bot)

    def _keep(self, event: ApiEvent) -> None:
        message = event.message
        if message is None or event.method not in ("sendMessage", "sendPhoto", "editMessageMedia"):
            return
        buttons = tuple(tuple(label for label, _ in row) for row in message.buttons)
        picture = message.file.content if message.file else None
        if event.method == "editMessageMedia":  # the picture of the message before
            self.bubbles.pop()
        self.bubbles.append(Bubble(self.now(), message.html, picture=picture, buttons=buttons))


async def story(folder: Path) -> list[Bubble]:
    """Everything said in the demo, on a database in `folder`."""
    clock = LocalClock(QUESTIONS_NOW, running=False)
    recorder = Recorder(clock)
    with open_database(folder / "demo.db") as database:
        config = Config().with_keys(storage={"database": database.path}, access={"mode": "open"})
        bot = app.local_bot(app.build_services(config, database, clock, live=False), recorder.api)
        with contextlib.redirect_stdout(io.StringIO()):
            async with bot.application:
                await play(bot, recorder, lambda _: None, clock.set, DEMO_NOW)
    return recorder.bubbles


def screens(said: list[Bubble]) -> list[Chat]:
    """The chats that are shown, one a phone."""
    texts = [bubble.text if bubble.mine else "" for bubble in said]
    starts = [next(at for at, text in enumerate(texts) if text.startswith(first)) for first, _ in SCREENS]
    return [Chat("IWM vs SPY", "bot", said[at : at + count]) for at, (_, count) in zip(starts, SCREENS, strict=True)]


def make(folder: Path) -> list[Path]:
    """Play the story and write both pictures; their places."""
    with tempfile.TemporaryDirectory() as scratch:
        said = asyncio.run(story(Path(scratch)))
    chat, compare = folder / "chat.png", folder / "compare.png"
    draw(screens(said), chat)
    compare.write_bytes(next(bubble.picture for bubble in said if bubble.picture))
    return [chat, compare]


if __name__ == "__main__":
    for place in make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent):
        print(place)
