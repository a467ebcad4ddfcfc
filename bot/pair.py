"""The two funds that the bot compares. The configuration names them, and every Market carries them."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files


@dataclass(frozen=True)
class Fund:
    """One fund of the pair.

    ticker         in capitals
    name           as its issuer writes it, by default the ticker
    index          the index that it follows, "" if unknown
    issuer_file    URL of the issuer's fund workbook or NAV history, "" for none
    holdings_file  URL of the issuer's list of holdings, "" for none; in it {date} is the day, as 20201211
    distributions_file  URL of the issuer's list of distributions, "" where issuer_file has it or for none
    sec            its series or CIK at the SEC, "" for none
    distributes    whether it pays distributions
    """

    ticker: str
    name: str = ""
    index: str = ""
    issuer_file: str = field(default="", repr=False)
    holdings_file: str = field(default="", repr=False)
    distributions_file: str = field(default="", repr=False)
    sec: str = ""
    distributes: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.ticker)

    @property
    def files(self) -> dict[str, str]:
        """URLs of the issuer's files by what they have: "fund" (NAV, units), "holdings", "distributions"."""
        urls = {"fund": self.issuer_file, "holdings": self.holdings_file, "distributions": self.distributions_file}
        return {figure: url for figure, url in urls.items() if url}

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

    def fill(self, template: str, **words: str) -> str:
        """Return the template with the pair's tickers, and further words, in it."""
        (small, large), (small_word, large_word) = self.tickers, self.words
        return template.format(small=small, large=large, small_word=small_word, large_word=large_word, **words)


_FUNDS = tomllib.loads(files("bot").joinpath("pair.toml").read_text(encoding="utf-8"))
DEFAULT_PAIR = Pair(Fund(**_FUNDS["small"]), Fund(**_FUNDS["large"]))
PUBLIC_FILES = frozenset(url for fund in DEFAULT_PAIR for url in fund.files.values())
