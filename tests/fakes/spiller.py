"""`python -m bot` with an /about that leaks the token in every way a program can.

It logs the bot and the configuration, warns, fails in a thread, a destructor and a callback, prints, and
raises. At the end the process fails with the bot's repr.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from telegram.ext import ExtBot

    from bot.chat.access import Ask


class Spill:
    """An object whose destructor fails."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __del__(self) -> None:
        raise RuntimeError(self.text)


def fail(text: str) -> NoReturn:
    """Raise with the text."""
    raise RuntimeError(text)


async def spill(ask: Ask) -> NoReturn:
    """Leak the token in every way except at the end of the process."""
    token = ask.services.config.telegram.token.get_secret_value()
    logging.getLogger("spill").debug("config %r, %s", ask.services.config, BOTS[0])
    logging.getLogger("spill").warning("no %d", token)  # a wrong format: logging prints the arguments
    logging.getLogger("spill").info("heartbeat %s", ask.services.config.heartbeat.url.get_secret_value())
    warnings.warn(f"a warning with {token}", RuntimeWarning, stacklevel=1)
    thread = threading.Thread(target=fail, args=(f"a thread with {token}",))
    thread.start()
    thread.join()
    Spill(f"a destructor with {token}")
    LEFT.append(Spill(f"the last destructor with {token}"))
    gc.collect()
    asyncio.get_running_loop().call_soon(fail, f"a callback with {token}")
    sys.stdout.write(f"printed {token}\n")
    sys.stderr.writelines([f"written {token}\n"])
    raise LookupError(f"a handler with {BOTS[0]!r}")


BOTS: list[ExtBot[None]] = []
LEFT: list[Spill] = []  # fails when the interpreter exits, on the original streams


def main() -> int:
    """The command line with /about and the serving loop replaced."""
    from bot import serving  # noqa: PLC0415 - after the script has started
    from bot.chat.commands import BY_NAME  # noqa: PLC0415 - as above
    from bot.cli import main as run  # noqa: PLC0415 - as above

    BY_NAME["about"] = replace(BY_NAME["about"], handler=spill)
    serve = serving.serve

    async def crashing(
        link: serving.Link, load: Callable[[], serving.Bot], on_signal: Callable[[], object] = lambda: None
    ) -> str:
        BOTS.append(link.application.bot)
        fault = await serve(link, load, on_signal)
        raise RuntimeError(f"the end of {link.application.bot!r} {fault}")

    serving.serve = crashing
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
