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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bot import app
from bot.cli.story import DEMO_NOW, QUESTIONS_NOW, play
from bot.cli.talk import Clock
from bot.config import Config
from bot.local import LocalTelegram
from bot.local.call import Call
from docs.phone import Bubble, Chat, draw
from storage.db import open_database

if TYPE_CHECKING:
    from collections.abc import Callable

    from telegram import Bot, Update
    from telegram.request import RequestData

# What the phones show: text that a message of the story begins with, and how many messages from there.
SCREENS = (("/compare", 3), ("/alert ratio", 6))


@dataclass
class Recorder(LocalTelegram):
    """Telegram in the terminal, and what was said in it."""

    now: Callable[[], dt.datetime]
    said: list[Bubble] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(lambda _: None, None, self.now)

    def update_for(self, text: str, bot: Bot | None = None) -> Update | None:
        """As there; what is typed is kept."""
        self.said.append(Bubble(self.now(), text, mine=True))
        return super().update_for(text, bot)

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *rest: object, **more: object
    ) -> tuple[int, bytes]:
        """As there; what is sent is kept."""
        if url.endswith(("/sendMessage", "/sendPhoto")):
            call = Call.read(request_data)
            keyboard = (call.markup or {}).get("inline_keyboard", ())
            self.said.append(
                Bubble(
                    self.now(),
                    call.values.get("text") or call.values.get("caption", ""),
                    picture=next((data for _, data in call.uploads.values()), None),
                    buttons=tuple(tuple(button["text"] for button in row) for row in keyboard),
                )
            )
        return await super().do_request(url, method, request_data, *rest, **more)


async def story(folder: Path) -> list[Bubble]:
    """Everything said in the demo, on a database in `folder`."""
    clock = Clock(QUESTIONS_NOW, running=False)
    telegram = Recorder(clock)
    with open_database(folder / "demo.db") as database:
        config = Config().with_keys(storage={"database": database.path}, access={"mode": "open"})
        bot = app.local_bot(app.services_of(config, database, clock, live=False), telegram)
        with contextlib.redirect_stdout(io.StringIO()):
            async with bot.application:
                await play(bot, telegram, lambda _: None, clock.set, DEMO_NOW)
    return telegram.said


def screens(said: list[Bubble]) -> list[Chat]:
    """The chats that are shown, one a phone."""
    texts = [bubble.text if bubble.mine else "" for bubble in said]
    starts = [next(at for at, text in enumerate(texts) if text.startswith(first)) for first, _ in SCREENS]
    return [
        Chat("IWM vs SPY", "bot", said[at : at + count])
        for at, (_, count) in zip(starts, SCREENS, strict=True)
    ]


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
