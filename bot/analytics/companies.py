"""A fund's valuation from the companies that it holds: sums of their earnings and book values.

With q shares of a company held, value M = sum q P, earnings E = sum q EPS, book B = sum q BVPS, over the
companies whose figure is known. P/E with losses included is M/E; the others leave losses out, as most
websites do. Where E is not positive there is no P/E; the earnings yield E/M exists for either sign.

A wrong figure is left out and counted, never replaced; a loss is left out for no size. Measured on IWM of
2026-07-17: one company's book value of -0.0013 a share doubles the fund's P/B.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    import pandas as pd
    from numpy.typing import NDArray

HOLDING_COLUMNS = ("ticker", "name", "sector", "asset_class", "quantity", "price", "value", "weight")
QUOTE_COLUMNS = (
    "eps",  # trailing, dollars a share, as `forward_eps` and `book`
    "forward_eps",
    "book",
    "shares",
    "market_cap",
    "price",
    "trailing_pe",
    "currency",
    "financial_currency",
    "kind",  # EQUITY
    "name",
)
TRAILING, FORWARD = "trailing", "forward"
LOSSES_IN, POSITIVE, CAPPED = "losses_in", "positive", "capped"

# A fund owns nearly the same fraction of every company. Outside this many times the median fraction (IWM's
# 1st to 99th percentile: 0.15 to 1.6) the share count or the ticker is wrong.
OWNERSHIP = (0.08, 1.8)
LEAST_PB = 0.05  # a price under this many times the book value: the book value is in another unit
CAP = 60.0  # of a P/E under the convention `capped`
AGREES = 0.05  # relative difference between two P/Es of one row that are in one currency
LEAST_COVERAGE = 0.6  # of the equities' market value, under which a fund has no figure
CONTRIBUTORS = 5

# Why a company is left out, in the order in which it is checked.
REASONS = (
    "no quote",
    "no stock",
    "another company's ticker",
    "not in dollars",
    "wrong share count",
)
_CLASS = re.compile(r"([A-Z]{2,4})([A-Z])")  # BRKB: the class may be its last letter
_NO_COMPANY = r"(?i)\b(?:CVR|RIGHTS?|RTS|WARRANTS?|WTS?|ESCROW|PRVT)$"
_WORD = re.compile(r"[A-Z0-9]+")
# Words that names share though the companies are different.
_LEGAL_FORMS = re.compile(
    r"(?:[A-Z]|AB|AG|AND|CL|CLASS|CO|COMMON|COMPAN(?:Y|IES)|CORP(?:ORATION)?|COS|DE|GROUP|HOLDINGS?|INC|INCORPORATED"
    r"|LIMITED|LLC|LP|LTD|NEW|NV|OF|ORDINARY|PLC|REIT|SA|SE|SHARES|STOCK|THE|TRUST)"
)


class Contributor(NamedTuple):
    """A company's part of its fund's earnings: its own in dollars of the fund, negative for a loss."""

    ticker: str
    name: str
    value: float
    earnings: float


@dataclass(frozen=True)
class EarningsSums:
    """Sums of one basis, in dollars, over the companies whose earnings a share are known.

    value, earnings   all of them; of the gaining companies alone `gaining_value`, `gaining_earnings`
    capped_earnings   of the gaining companies, each at no more than CAP times
    losing_value      market value of those with a loss, `losing` their number
    coverage          value over the market value of all equities held
    gains, losses     the largest contributors, the largest first
    """

    companies: int = 0
    losing: int = 0
    value: float = 0.0
    earnings: float = 0.0
    gaining_value: float = 0.0
    gaining_earnings: float = 0.0
    capped_earnings: float = 0.0
    losing_value: float = 0.0
    coverage: float = 0.0
    gains: tuple[Contributor, ...] = ()
    losses: tuple[Contributor, ...] = ()

    @property
    def earnings_yield(self) -> float | None:
        """Earnings in percent of the value, losses included, of either sign."""
        return 100 * self.earnings / self.value if self.value else None

    @property
    def loss_share(self) -> float | None:
        """Percent of the value that is in companies with a loss."""
        return 100 * self.losing_value / self.value if self.value else None

    @property
    def multiples(self) -> dict[str, float | None]:
        """P/E by convention; None where it is not meaningful."""
        return {
            LOSSES_IN: _ratio(self.value, self.earnings),
            POSITIVE: _ratio(self.gaining_value, self.gaining_earnings),
            CAPPED: _ratio(self.gaining_value, self.capped_earnings),
        }

    @property
    def without_largest(self) -> float | None:
        """P/E with losses included, without the company that earns most."""
        if not self.gains:
            return None
        return _ratio(self.value - self.gains[0].value, self.earnings - self.gains[0].earnings)


@dataclass(frozen=True)
class FundSums:
    """What a fund's companies add up to.

    equities           number of companies held that have a price
    book, book_value   book value and market value, in dollars, of the companies whose book value is used
    book_coverage      that market value over that of all equities held
    left_out           number of companies left out by reason, those whose book value alone is among them
    """

    equities: int
    trailing: EarningsSums
    forward: EarningsSums
    book_companies: int
    book: float
    book_value: float
    book_coverage: float
    left_out: Mapping[str, int]

    @property
    def pb(self) -> float | None:
        """Price to book value, None where it is not meaningful."""
        return _ratio(self.book_value, self.book)

    def figures(self) -> Iterator[tuple[str, str, str, float | None, float]]:
        """Metric, convention, basis, value and coverage of each figure whose coverage is enough.

        P/E and P/B in times, None where not meaningful; the others in percent.
        """
        for basis, sums in ((TRAILING, self.trailing), (FORWARD, self.forward)):
            if sums.coverage >= LEAST_COVERAGE:
                yield "earnings_yield", LOSSES_IN, basis, sums.earnings_yield, sums.coverage
                yield "loss_share", LOSSES_IN, basis, sums.loss_share, sums.coverage
                for convention, multiple in sums.multiples.items():
                    yield "pe", convention, basis, multiple, sums.coverage
        if self.book_coverage >= LEAST_COVERAGE:
            yield "pb", LOSSES_IN, TRAILING, self.pb, self.book_coverage


def _ratio(value: float, part: float) -> float | None:
    return value / part if part > 0 else None


def equities_of(holdings: pd.DataFrame) -> pd.DataFrame:
    """The rows that are equities, rights included: no cash and no futures."""
    return holdings[holdings["asset_class"].fillna("Equity").str.casefold() == "equity"].reset_index(
        drop=True
    )


def are_companies(equities: pd.DataFrame) -> pd.Series:
    """Which equities are shares of a company: no rights, and no rows without a ticker."""
    ticker = equities["ticker"].fillna("").str.contains(r"[A-Z]")
    return ticker & ~equities["name"].fillna("").str.contains(_NO_COMPANY)


def candidate_symbols(ticker: str) -> list[str]:
    """The symbols that a fund's ticker may have in quotes: BRK.B and BRKB are BRK-B."""
    symbol = re.sub(r"[./ ]", "-", ticker.strip().upper())
    shares = _CLASS.fullmatch(symbol)
    return [symbol, f"{shares[1]}-{shares[2]}"] if shares else [symbol]


def symbol_of(ticker: str, quoted: Container[str]) -> str:
    """The symbol of a fund's ticker among those quoted; the ticker's own where none is."""
    candidates = candidate_symbols(ticker)
    return next((symbol for symbol in candidates if symbol in quoted), candidates[0])


def _words(name: object) -> set[str]:
    words = _WORD.findall(name.upper()) if isinstance(name, str) else ()
    return {word for word in words if not _LEGAL_FORMS.fullmatch(word)}


def share_a_word(first: Iterable[object], second: Iterable[object]) -> list[bool]:
    """Whether names, pair by pair, have a word in common that is no legal form."""
    return [bool(_words(name) & _words(candidate)) for name, candidate in zip(first, second, strict=True)]


def fund_sums(
    holdings: pd.DataFrame,
    quotes: pd.DataFrame,
    *,
    ownership: tuple[float, float] = OWNERSHIP,
    least_pb: float = LEAST_PB,
) -> FundSums:
    """Sums over a fund's holdings (HOLDING_COLUMNS) with quotes by symbol (QUOTE_COLUMNS).

    A holding's value is its quantity times the quote's price, else as the file states it, else by its weight.
    """
    held = equities_of(holdings)
    company = are_companies(held).to_numpy()
    symbols = [symbol_of(ticker, quotes.index) for ticker in held["ticker"].fillna("")]
    quoted = quotes.reindex(symbols).reset_index(drop=True)
    reason = np.where(company, _reasons(held, quoted, ownership), "no company")
    used = reason == ""
    value = _values(held, quoted["price"].where(used).to_numpy("float64"))
    total = float(np.nansum(value))
    quantity = held["quantity"].to_numpy("float64")

    def earnings(column: str) -> EarningsSums:
        rows = held[["ticker", "name"]].assign(value=value, earnings=quantity * quoted[column])
        return _earnings_sums(rows[used & np.isfinite(value) & rows["earnings"].notna()], total)

    pb = (quoted["price"] / quoted["book"]).to_numpy("float64")
    with_book = used & np.isfinite(value) & np.isfinite(pb)
    has_book = with_book & (np.abs(pb) >= least_pb) & (quoted["financial_currency"] == "USD").to_numpy()
    left_out = Counter(reason[company & ~used])
    left_out["book value"] = int(with_book.sum() - has_book.sum())
    book_value = float(value[has_book].sum())
    return FundSums(
        equities=int(np.sum(company & (value > 0) & ~(held["price"] <= 0))),
        trailing=earnings("eps"),
        forward=earnings("forward_eps"),
        book_companies=int(has_book.sum()),
        book=float((quantity * quoted["book"].to_numpy("float64"))[has_book].sum()),
        book_value=book_value,
        book_coverage=book_value / total if total > 0 else 0.0,
        left_out={name: left_out[name] for name in (*REASONS, "book value") if left_out[name]},
    )


def _reasons(held: pd.DataFrame, quoted: pd.DataFrame, ownership: tuple[float, float]) -> NDArray[np.str_]:
    """Per holding why it is left out, "" where it is not.

    Earnings in another currency than the dollar may have been converted: then the P/E of the same row agrees.
    """
    dollars = quoted["financial_currency"] == "USD"
    converted = (quoted["price"] / quoted["eps"] / quoted["trailing_pe"] - 1).abs() < AGREES
    shares = quoted["shares"].fillna(quoted["market_cap"] / quoted["price"])
    own = held["quantity"] / shares.where(shares > 0)
    low, high = (bound * own.median() for bound in ownership)
    checks = (
        quoted["price"].isna(),
        quoted["kind"] != "EQUITY",
        ~np.array(share_a_word(held["name"], quoted["name"]), dtype=bool),
        (quoted["currency"] != "USD") | ~(dollars | converted),
        (own < low) | (own > high),
    )
    return np.select(checks, REASONS, default="")


def _values(held: pd.DataFrame, price: NDArray[np.float64]) -> NDArray[np.float64]:
    """Market value of each holding in dollars, NaN where nothing is known of it."""
    value = np.where(np.isfinite(price), held["quantity"] * price, held["value"].to_numpy("float64"))
    weight = held["weight"].to_numpy("float64")
    both = np.isfinite(value) & (weight > 0)
    per_weight = value[both].sum() / weight[both].sum() if both.any() else np.nan
    known: NDArray[np.float64] = np.where(np.isfinite(value), value, weight * per_weight)
    return known


def _earnings_sums(rows: pd.DataFrame, total: float) -> EarningsSums:
    """Sums over the companies of `rows` (ticker, name, value, earnings)."""
    gain, loss = rows[rows["earnings"] > 0], rows[rows["earnings"] < 0]
    value = float(rows["value"].sum())
    return EarningsSums(
        companies=len(rows),
        losing=len(loss),
        value=value,
        earnings=float(rows["earnings"].sum()),
        gaining_value=float(gain["value"].sum()),
        gaining_earnings=float(gain["earnings"].sum()),
        capped_earnings=float(np.maximum(gain["earnings"], gain["value"] / CAP).sum()),
        losing_value=float(loss["value"].sum()),
        coverage=value / total if total > 0 else 0.0,
        gains=_contributors(gain.nlargest(CONTRIBUTORS, "earnings")),
        losses=_contributors(loss.nsmallest(CONTRIBUTORS, "earnings")),
    )


def _contributors(rows: pd.DataFrame) -> tuple[Contributor, ...]:
    return tuple(Contributor(*row) for row in rows.itertuples(index=False))
