"""A bot on the sample market that talks to the fake Bot API through real python-telegram-bot."""

import asyncio
import datetime as dt
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from telegram import Update

from bot import app
from bot.analytics.market import Market
from bot.analytics.sources import SAMPLE
from bot.config import Config
from bot.data.provider import sample_observations
from bot.data.store import store
from bot.delivery.rate_limiter import SendBudget
from bot.local.botapi import ApiMessage, Json
from bot.serving import link_to_telegram
from storage.database import Database, open_database
from tests.fakes.botapi import FakeBotApi

ME, YOU, OWNER, GROUP = 42, 43, 7, -100200
NOW = dt.datetime(2020, 12, 13, 18, tzinfo=dt.UTC)
OCTOBER = dt.datetime(2020, 10, 5, 22, tzinfo=dt.UTC)
RULE = "ratio > sma 200"  # fires at the close of 6 October
STEP = dt.timedelta(seconds=3)  # between two commands, slow enough for the quota
_ready: dict[object, Market] = {}  # Markets made in this process, by what they were made from


class Talk:
    """One bot, its clock, and what people type and press."""

    def __init__(self, api: FakeBotApi, database: Database, config: Config) -> None:
        self.api, self.database, self.now = api, database, NOW
        self._seconds = 0.0
        limiter = SendBudget(monotonic=lambda: self._seconds, sleep=self._leap)
        self.bot = app.telegram_bot(link_to_telegram(config, database, lambda: self.now, limiter))

    async def _leap(self, seconds: float) -> None:
        self._seconds += seconds

    async def ask(self, text: str, chat_id: int = ME, **how: Any) -> list[ApiMessage]:  # noqa: ANN401 - of say
        """What the bot sends or edits in answer to a line."""
        self.api.say(chat_id, text, **how)
        return await self.answers()

    async def texts(self, typed: Iterable[str], chat_id: int = ME, **how: Any) -> dict[str, str]:  # noqa: ANN401 - of say
        """The text of the answer to each of some lines, typed slowly enough for the quota."""
        texts: dict[str, str] = {}
        for line in typed:
            self.now += STEP
            answer, *_ = await self.ask(line, chat_id, **how)
            texts[line] = answer.text
        return texts

    async def press(self, message: ApiMessage, label: str, user_id: int | None = None) -> list[ApiMessage]:
        """What the bot sends or edits once a message's button of that label is pressed."""
        labelled = dict(button for row in message.buttons for button in row)
        return await self.press_data(message, labelled[label], user_id)

    async def forget(self, chat_id: int = ME) -> list[ApiMessage]:
        """What the bot answers to the button that confirms /forgetme."""
        question = self.api.add_message(self.api.chat(chat_id), text="Delete everything?")
        question.markup = {"inline_keyboard": [[{"text": "Delete", "callback_data": "e/forgetme yes"}]]}
        return await self.press_data(question, "e/forgetme yes", chat_id)

    async def press_data(self, message: ApiMessage, data: str, user_id: int | None = None) -> list[ApiMessage]:
        """The same, by the button's data."""
        self.api.press(message.message_id, data, user_id)
        return await self.answers()

    async def answers(self) -> list[ApiMessage]:
        """Deliver what Telegram holds and wait until it is dealt with; messages sent or edited, in order."""
        before = {key: message.edits for key, message in self.api.history.items()}
        updates, self.api.updates = self.api.updates, []
        await self.deliver(*updates)
        return [
            message
            for key, message in self.api.history.items()
            if before.get(key) != message.edits and message.sender["is_bot"]
        ]

    async def deliver(self, *updates: Json) -> None:
        """Hand over updates as a poll does, and wait until they are dealt with."""
        queue = self.bot.application.update_queue
        for update in updates:
            await queue.put(Update.de_json(update, self.bot.application.bot))
        await queue.join()

    async def pass_to(self, moment: dt.datetime) -> list[ApiMessage]:
        """The clock goes to a moment and the scheduler does its work; what is pushed."""
        self.now = moment
        before = len(self.api.messages(ME))
        await self.bot.scheduler.evaluate()
        await self.bot.scheduler.drain()
        return self.api.messages(ME)[before:]

    async def pushed(self, chat_id: int) -> list[ApiMessage]:
        """What the bot sends to a chat by itself."""
        before = len(self.api.messages(chat_id))
        await self.bot.delivery.drain()
        return self.api.messages(chat_id)[before:]

    def notes(self) -> list[str]:
        """Texts shown over the chat at pressed buttons."""
        answers = [query.answer for query in self.api.callback_queries.values() if query.answer]
        return [answer["text"] for answer in answers if answer.get("text")]

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        return await self.database.run(lambda db: list(db[table].rows))


def labels(message: ApiMessage) -> list[str]:
    """What stands on a message's buttons."""
    return [label for row in message.buttons for label, _ in row]


def by_section(settings: dict[str, object]) -> dict[str, dict[str, object]]:
    """Values of keys, which are named without their section, by section."""
    sections = {name: {key: settings[key] for key in vars(section) if key in settings} for name, section in Config()}
    return {name: values for name, values in sections.items() if values}


def make_sample(path: Path) -> Path:
    """A database of the sample market."""
    with open_database(path) as database:
        observed = f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
        database.run_sync(lambda db: store(db, sample_observations(), source=SAMPLE, observed_at=observed))
    return path


def prepared(
    sample: Path,
    folder: Path,
    steps: Callable[[Talk], Awaitable[object]],
    **settings: Any,  # noqa: ANN401 - of Config
) -> Path:
    """A copy of the sample on which a bot has gone through some steps."""

    async def run() -> None:
        async with talking(sample, folder, **settings) as talk:
            await steps(talk)

    asyncio.run(run())
    return folder / "bot.db"


@asynccontextmanager
async def talking(sample: Path | None, folder: Path, **settings: Any) -> AsyncIterator[Talk]:  # noqa: ANN401 - of Config
    """A bot on a copy of the sample (None: an empty database), open to all unless `settings` say no."""
    path = folder / "bot.db"
    if sample is not None:
        shutil.copy(sample, path)
    with open_database(path) as database:
        async with FakeBotApi() as api:
            config = Config().with_keys(
                telegram={"token": api.token, "base_url": api.root},
                storage={"database": path},
                access={"mode": "open", "owner": OWNER},
                sources={"yahoo": False},
                issuer={"fetch": False},
            )
            noted = database.run_sync(lambda db: [row["update_id"] for row in db["updates"].rows])
            api.last_update_id = max(noted, default=api.last_update_id)
            api.chat(ME)
            api.chat(OWNER)
            talk = Talk(api, database, config.with_keys(**by_section(settings)))
            _share(talk)
            application = talk.bot.application
            async with application:
                await application.start()
                try:
                    yield talk
                finally:
                    await application.stop()


def _share(talk: Talk) -> None:
    """Let this bot use the Markets that others of this process made from the same rows and moment."""
    markets = talk.bot.services.markets
    uncached = markets.current

    async def current() -> Market:
        key = (await talk.database.run(_highest, plain=True), markets.sessions().last_completed(talk.now))
        if key not in _ready:
            _ready[key] = await uncached()
        return _ready[key]

    markets.current = current  # type: ignore[method-assign]


def _highest(db: Any) -> tuple[Any, ...]:  # noqa: ANN401 - sqlite_utils.Database
    kinds = ("bars", "distributions", "splits", "fund_facts", "multiples")
    return tuple(db.execute(f"SELECT count(*), max(id) FROM {kind}").fetchone() for kind in kinds)  # noqa: S608
