"""Whether Telegram takes the token, and how far the clock is from Telegram's: one request for both."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx

from bot.cli.machine import FAIL, NOTE, OK, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.config import Config

SECONDS = 10.0  # for the request
LARGEST_SKEW = 60  # seconds: what is due by the minute still comes at its time
_REFUSED = (401, 404)


def telegram(config: Config, *, online: bool) -> Iterator[Finding]:
    """Findings on token and clock; without a token, or offline, nobody is asked."""
    if not config.telegram.token:
        words = "none given, which “run” needs; see [telegram] in the config"
        yield Finding(NOTE, "token", words)
    elif not online:
        yield Finding(OK, "token", "given; not tried (--offline)")
    else:
        yield from _asked(config)


def _asked(config: Config) -> Iterator[Finding]:
    try:
        token = config.telegram.token.get_secret_value()
        answer = httpx.get(f"{config.telegram.base_url}/bot{token}/getMe", timeout=SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:  # whose text may hold the token
        words = (
            f"{config.telegram.base_url} cannot be reached ({type(error).__name__}); "
            "check the network and base_url"
        )
        yield Finding(FAIL, "token", words)
        return
    yield _token(config, answer)
    if skew := _skew(answer.headers.get("Date", "")):
        yield skew


def _token(config: Config, answer: httpx.Response) -> Finding:
    """What Telegram says of the token."""
    if answer.status_code in _REFUSED:
        words = f"Telegram refuses it ({answer.status_code}); ask @BotFather for a valid one"
        return Finding(FAIL, "token", words)
    try:
        name = answer.json()["result"]["username"]
    except (ValueError, KeyError, TypeError):
        words = (
            f"{config.telegram.base_url} gave no answer of Telegram's (HTTP {answer.status_code}); "
            "check base_url"
        )
        return Finding(FAIL, "token", words)
    return Finding(OK, "token", f"@{name} answers")


def _skew(header: str) -> Finding | None:
    """How far the clock is from the answer's date; None where the answer has none."""
    try:
        theirs = parsedate_to_datetime(header)
    except ValueError:
        return None
    seconds = round((dt.datetime.now(dt.UTC) - theirs.astimezone(dt.UTC)).total_seconds())
    words = f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} Telegram's"
    if abs(seconds) <= LARGEST_SKEW:
        return Finding(OK, "clock's error", words)
    return Finding(FAIL, "clock's error", f"{words}; set the clock, best by NTP")
