"""The two funds that the bot compares. The configuration names them, and every Market carries them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fund:
    """One fund of the pair.

    ticker         in capitals
    name           as its issuer writes it, by default the ticker
    index          the index that it follows, "" if unknown
    issuer_file    URL of the issuer's fund workbook or NAV history, "" for none
    holdings_file  URL of the issuer's list of holdings, "" for none
    distributes    whether it pays distributions
    """

    ticker: str
    name: str = ""
    index: str = ""
    issuer_file: str = field(default="", repr=False)
    holdings_file: str = field(default="", repr=False)
    distributes: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.ticker)

    @property
    def word(self) -> str:
        """The ticker in lower case, as rules write it."""
        return self.ticker.lower()


@dataclass(frozen=True)
class Pair:
    """The fund of small companies and the fund of large ones.

    Texts of registries and tables are templates, which `fill` completes: "{small}" and "{large}" stand for
    the tickers, "{small_word}" and "{large_word}" for the tickers in lower case.
    """

    small: Fund
    large: Fund

    def __iter__(self) -> Iterator[Fund]:
        return iter((self.small, self.large))

    def __str__(self) -> str:
        """Return the name of the ratio, e.g. "IWM/SPY"."""
        return "/".join(self.tickers)

    @property
    def tickers(self) -> tuple[str, str]:
        """Both tickers, the small fund's first."""
        return (self.small.ticker, self.large.ticker)

    @property
    def words(self) -> tuple[str, str]:
        """Both tickers as rules write them."""
        return (self.small.word, self.large.word)

    def fill(self, template: str) -> str:
        """Return the template with the pair's tickers in it."""
        return template.format(
            small=self.small.ticker,
            large=self.large.ticker,
            small_word=self.small.word,
            large_word=self.large.word,
        )


DEFAULT_PAIR = Pair(
    Fund("IWM", "iShares Russell 2000 ETF", "Russell 2000"),
    Fund("SPY", "SPDR S&P 500 ETF Trust", "S&P 500"),
)
