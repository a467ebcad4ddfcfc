"""Where pictures are drawn: one at a time, for `run` in a process of its own.

A picture takes 0.2 s of computing, much of it native code that lets no other thread in. Drawn beside the
answers it would be felt by everybody who asks something meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bot.errors import Undrawn

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

T = TypeVar("T")

logger = logging.getLogger(__name__)

AGAIN = "The picture could not be drawn; please ask again."
LONGEST = 60.0  # seconds that a picture may take, the start of the process included
NICER = 5  # steps by which the system prefers the bot to its painter
# A fork would copy locks that other threads hold.
_PROCESSES = multiprocessing.get_context("spawn")


class Easel:
    """Draws sketches in the order of asking: whoever asks for many gets one for each of everybody else's.

    apart: in a process of its own, begun with the first picture; else in a thread.
    """

    def __init__(self, *, apart: bool = False) -> None:
        self._painter = Painter() if apart else None
        self._hand = ThreadPoolExecutor(1, "easel")  # one, so that pictures are drawn one at a time, in order

    async def draw(self, sketch: Callable[[], T]) -> T:
        """The picture; raises what the sketch raises, and Undrawn when the process fails or is closed."""
        drawing = partial(self._painter.draw, sketch) if self._painter else sketch
        return await asyncio.get_running_loop().run_in_executor(self._hand, drawing)

    def close(self) -> None:
        """End the process, whatever it draws, and begin no other."""
        if self._painter is not None:
            self._painter.close()


class Painter:
    """A process that draws. It ends with this one, also when this one is killed: its pipe has an end then."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection | None = None
        self._lock = RLock()  # close() comes from another thread, also while a process begins
        self._closed = False

    def draw(self, sketch: Callable[[], T]) -> T:
        """The picture. Blocks; a process that died since the last picture is replaced."""
        try:
            pipe = self._ready()
            pipe.send(sketch)
            if not pipe.poll(LONGEST):
                raise TimeoutError
            picture, error = cast("tuple[T, Exception | None]", pipe.recv())
        except (OSError, EOFError) as fault:
            logger.warning("the process that draws has failed: %r", fault)
            self._end()
            raise Undrawn(AGAIN) from fault
        if error is not None:
            raise error
        return picture

    def close(self) -> None:
        """End the process at once, and begin no other."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        with self._lock:
            process, pipe = self._process, self._pipe
            self._process = self._pipe = None
        if process is not None:
            process.kill()
            process.join()
        if pipe is not None:
            pipe.close()

    def _ready(self) -> Connection:
        """The pipe to a process that lives; Undrawn once there shall be none."""
        with self._lock:
            if self._closed:
                raise Undrawn(AGAIN)
            if self._pipe is None or not self._process.is_alive():
                self._end()
                here, there = _PROCESSES.Pipe()
                process = _PROCESSES.Process(target=paint, args=(there,), name="painter", daemon=True)
                process.start()
                there.close()
                self._process, self._pipe = process, here
            return self._pipe


def paint(pipe: Connection) -> None:
    """The process's work: a sketch in, a picture or an error out, until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the bot's, which ends this process
    if hasattr(os, "nice"):
        os.nice(NICER)
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_attempt(pipe.recv()))


def _attempt(sketch: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return sketch(), None
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who asked
        error.add_note(traceback.format_exc())  # a traceback itself stays in its process
        return None, error
