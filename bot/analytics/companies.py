"""A fund's valuation from the companies that it holds: sums of their earnings and book values.

With q shares of a company held, value M = sum q P, earnings E = sum q EPS, book B = sum q BVPS, over the
companies whose figure is known. P/E with losses included is M/E; the others leave losses out, as most
websites do. Where E is not positive there is no P/E; the earnings yield E/M exists for either sign.

A wrong figure is left out and counted, never replaced; a loss is left out for no size. Measured on IWM of
2026-07-17: one company's book value of -0.0013 a share doubles the fund's P/B.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HOLDING_COLUMNS = ("ticker", "name", "quantity", "price", "value", "weight")
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
PRICES_APART = 5.0  # times, either way, from the price in the fund's list: another unit, or a split since
LEAST_PB = 0.05  # a price under this many times the book value: the book value is in another unit
CAP = 60.0  # of a P/E under the convention `capped`
AGREES = 0.05  # relative difference between two P/Es of one row that are in one currency
LEAST_COVERAGE = 0.6  # of the equities' market value, under which a fund has no figure
CONTRIBUTORS = 5

# Why a company is left out, in the order in which it is checked.
_WRONG = ("another company's ticker", "not in dollars", "wrong share count", "wrong price")
REASONS = ("no quote", "no stock", *_WRONG)
_CLASS = re.compile(r"([A-Z]{2,4})([ABC])")  # BRKB: the class may be its last letter
_NO_COMPANY = re.compile(r"\b(CVR|RIGHTS?|RTS|WARRANTS?|WTS?|ESCROW|PRVT)$", re.IGNORECASE)
_WORD = re.compile(r"[A-Z0-9]+")
# Words that names share though the companies are different.
_LEGAL_FORMS = re.compile(
    r"(?:[A-Z]|AB|AG|AND|CL|CLASS|CO|COMMON|COMPAN(?:Y|IES)|CORP(?:ORATION)?|COS|DE|GROUP|HOLDINGS?|INC|INCORPORATED"
    r"|LIMITED|LLC|LP|LTD|NEW|NV|OF|ORDINARY|PLC|REIT|SA|SE|SHARES|STOCK|THE|TRUST)"
)


class Contributor(NamedTuple):
    """A company's market value and amount in its fund, the amount negative for a loss."""

    ticker: str
    value: float
    amount: float


@dataclass(frozen=True)
class Sums:
    """Sums over the companies of which an amount a share is known (earnings or book value), in dollars.

    companies, losing  their number, and that of those with an amount under zero
    value, amount      market value and amount of all
    coverage           value over the market value of all equities held
    loss_share         percent of the value that is in companies with an amount under zero
    multiples          value over amount by convention; None where it is not meaningful
    without_largest    the multiple with losses included, without the company that contributes most
    gains, losses      the largest contributors, the largest first
    profits            the amount of those above zero alone, None in sums stored before it was kept
    """

    companies: int
    losing: int
    value: float
    amount: float
    coverage: float
    loss_share: float | None
    multiples: Mapping[str, float | None]
    without_largest: float | None
    gains: tuple[Contributor, ...]
    losses: tuple[Contributor, ...]
    profits: float | None = None

    @property
    def percent(self) -> float | None:
        """The amount in percent of the value, of either sign."""
        return 100 * self.amount / self.value if self.value else None


@dataclass(frozen=True)
class FundSums:
    """What a fund's companies add up to: earnings, trailing and forward, and book value.

    equities  number of companies held that have a price
    left_out  number of companies left out by reason, among them those of which the book value alone is
    """

    equities: int
    trailing: Sums
    forward: Sums
    book: Sums
    left_out: Mapping[str, int]

    def figures(self) -> Iterator[tuple[str, str, str, float | None, float]]:
        """Metric, convention, basis, value and coverage of each figure whose coverage is enough.

        P/E and P/B in times, None where not meaningful; the others in percent.
        """
        for basis, sums in ((TRAILING, self.trailing), (FORWARD, self.forward)):
            if sums.coverage >= LEAST_COVERAGE:
                yield "earnings_yield", LOSSES_IN, basis, sums.percent, sums.coverage
                yield "loss_share", LOSSES_IN, basis, sums.loss_share, sums.coverage
                for convention, multiple in sums.multiples.items():
                    yield "pe", convention, basis, multiple, sums.coverage
        if self.book.coverage >= LEAST_COVERAGE:
            yield "pb", LOSSES_IN, TRAILING, self.book.multiples[LOSSES_IN], self.book.coverage


def _ratio(value: float, part: float) -> float | None:
    return value / part if part > 0 else None


def is_company(ticker: object, name: object) -> bool:
    """Whether an equity is a share of a company: no right, and with a ticker."""
    return any(map(str.isalpha, str(ticker or ""))) and not _NO_COMPANY.search(str(name or ""))


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
    """Sums over a fund's equities (HOLDING_COLUMNS) with quotes by symbol (QUOTE_COLUMNS).

    A holding's value is its quantity times the quote's price, else as the file states it, else by its weight.
    """
    company = np.array(list(map(is_company, holdings["ticker"], holdings["name"])), dtype=bool)
    symbols = [symbol_of(ticker, quotes.index) for ticker in holdings["ticker"].fillna("")]
    quoted = quotes.reindex(symbols).set_axis(holdings.index)
    reason = np.where(company, _reasons(holdings, quoted, ownership), "no company")
    used = pd.Series(reason == "", holdings.index)
    value = _values(holdings, quoted["price"].where(used))
    rows = holdings[["ticker"]].assign(value=value)

    def sums(column: str, kept: pd.Series) -> Sums:
        amounts = rows.assign(amount=holdings["quantity"] * quoted[column])
        return _sums(amounts[kept].dropna(subset=["value", "amount"]), float(value.sum()))

    pb = quoted["price"] / quoted["book"]
    wrong_book = used & np.isfinite(pb) & ((pb.abs() < least_pb) | (quoted["financial_currency"] != "USD"))
    left_out = Counter(reason[company & ~used]) + Counter({"book value": int(wrong_book.sum())})
    return FundSums(
        equities=int((company & (value > 0) & ~(holdings["price"] <= 0)).sum()),
        trailing=sums("eps", used),
        forward=sums("forward_eps", used),
        book=sums("book", used & np.isfinite(pb) & ~wrong_book),
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
    listed = held["price"].astype("float64")
    apart = quoted["price"] / listed.where(listed > 0)
    checks = (
        ~(quoted["price"] > 0),
        quoted["kind"] != "EQUITY",
        ~np.array(share_a_word(held["name"], quoted["name"]), dtype=bool),
        (quoted["currency"] != "USD") | ~(dollars | converted),
        (own < low) | (own > high),
        (apart < 1 / PRICES_APART) | (apart > PRICES_APART),
    )
    return np.select(checks, REASONS, default="")


def _values(held: pd.DataFrame, price: pd.Series) -> pd.Series:
    """Market value of each holding in dollars, NaN where nothing is known of it."""
    value = (held["quantity"] * price).fillna(held["value"].astype("float64"))
    weight = held["weight"].astype("float64").where(held["weight"] > 0)
    return value.fillna(weight * value[weight.notna()].sum() / weight[value.notna()].sum())


def _sums(rows: pd.DataFrame, total: float) -> Sums:
    """Sums over companies (ticker, value, amount) of a fund whose equities are worth `total`."""
    gain, loss = rows[rows["amount"] > 0], rows[rows["amount"] < 0]
    largest = gain.nlargest(CONTRIBUTORS, "amount"), loss.nsmallest(CONTRIBUTORS, "amount")
    gains, losses = (tuple(map(Contributor._make, part.itertuples(index=False))) for part in largest)
    value, amount = float(rows["value"].sum()), float(rows["amount"].sum())
    gaining, profits = float(gain["value"].sum()), float(gain["amount"].sum())
    _, most_value, most = gains[0] if gains else Contributor("", 0.0, 0.0)
    return Sums(
        companies=len(rows),
        losing=len(loss),
        value=value,
        amount=amount,
        coverage=value / total if total > 0 else 0.0,
        loss_share=float(100 * loss["value"].sum() / value) if value else None,
        multiples={
            LOSSES_IN: _ratio(value, amount),
            POSITIVE: _ratio(gaining, profits),
            CAPPED: _ratio(gaining, float(np.maximum(gain["amount"], gain["value"] / CAP).sum())),
        },
        without_largest=_ratio(value - most_value, amount - most),
        gains=gains,
        losses=losses,
        profits=profits,
    )
