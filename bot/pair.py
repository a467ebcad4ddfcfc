"""The pair of funds that the bot compares: comes from the configuration, is carried by every Market."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Fund:
    """One fund of the pair.

    ticker         in capitals
    name           as its issuer writes it; the ticker where nothing else is known
    index          the index that it follows, "" where unknown
    issuer_file    address of the issuer's fund workbook or NAV history, "" for none
    holdings_file  address of the issuer's list of holdings, "" for none
    distributes    whether it pays distributions
    """

    ticker: str
    name: str = ""
    index: str = ""
    issuer_file: str = field(default="", repr=False)
    holdings_file: str = field(default="", repr=False)
    distributes: bool = True

    def __post_init__(self) -> None:
        """A fund without a name is called by its ticker."""
        object.__setattr__(self, "name", self.name or self.ticker)

    @property
    def word(self) -> str:
        """How rules write it: the ticker in lower case."""
        return self.ticker.lower()


FUND_KEYS = tuple(item.name for item in fields(Fund))


@dataclass(frozen=True)
class Pair:
    """The fund of small companies and the fund of large ones.

    Texts of registries and tables are templates: "{small}" and "{large}" stand for the tickers,
    "{small_word}" and "{large_word}" for how rules write them. `fill` puts the pair into them.
    """

    small: Fund
    large: Fund

    def __iter__(self) -> Iterator[Fund]:
        return iter((self.small, self.large))

    def __str__(self) -> str:
        """The ratio's name: "IWM/SPY"."""
        return self.fill("{small}/{large}")

    @property
    def tickers(self) -> tuple[str, str]:
        """Both tickers, the small fund's first."""
        return (self.small.ticker, self.large.ticker)

    @property
    def words(self) -> tuple[str, str]:
        """Both tickers as rules write them."""
        return (self.small.word, self.large.word)

    def fill(self, template: str) -> str:
        """The text with the pair's tickers in it."""
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
