"""The tickers of the default pair, which nearly all tests are about."""

from __future__ import annotations

from bot.pair import DEFAULT_PAIR

SMALL, LARGE = PAIR = DEFAULT_PAIR.tickers
