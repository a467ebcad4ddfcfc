"""The tickers of the default pair, which nearly all tests are about."""

from bot.pair import DEFAULT_PAIR

SMALL, LARGE = PAIR = DEFAULT_PAIR.tickers
