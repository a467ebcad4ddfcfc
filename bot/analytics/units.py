"""Units of amounts: how an amount is parsed from what a person types, written and shown.

Percentages are held in percent (5.0 is 5 %), gaps in percentage points, money in US dollars,
multiples in times. `write` and `parse` are exact inverses; `show` rounds for the eye.
"""

import math
import re
from dataclasses import dataclass, replace
from decimal import Decimal

from bot.errors import BadInput

MINUS = "\u2212"
NOT_AVAILABLE = "n/a"

SCALES = {
    "": 0,
    **dict.fromkeys(("k", "thousand"), 3),
    **dict.fromkeys(("m", "mn", "mln", "mio", "million"), 6),
    **dict.fromkeys(("b", "bn", "bln", "mrd", "billion"), 9),
}
_SUFFIXES = {"%": "%", "percent": "%", "pct": "%", "pp": "pp", "pts": "pp", "points": "pp", "x": "x"}
_WORDS = {"$": "dollars", "%": "percent (%)", "pp": "percentage points (pp)", "x": "times (x)"}
# A comma between thousands ("1,000" and "1,234.5") groups them; any other is a decimal comma ("1,5", "0,520"
# and "1.234,5"). Two points group thousands ("1.000.000").
_GROUPED = r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?"
_AMOUNT = re.compile(
    r"(?P<sign>[-+\u2212]?)(?P<dollar>\$?)(?P<sign2>[-+\u2212]?)"
    rf"(?:(?P<grouped>{_GROUPED})|(?P<german>[1-9]\d{{0,2}}(?:\.\d{{3}}){{2,}}|[1-9]\d{{0,2}}(?:\.\d{{3}})+,\d+|\d+,\d+)"
    r"|(?P<plain>\d+(?:\.\d*)?|\.\d+))\s*"
    rf"(?:(?P<scale>{'|'.join(sorted(filter(None, SCALES), reverse=True))})\s*)?"
    rf"(?P<unit>{'|'.join(sorted(_SUFFIXES, reverse=True))})?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Unit:
    """One unit: its suffix in rules, decimals when shown, and whether a typed amount must carry it.

    `scale` is that of money when shown: bn, m, k or "" for dollars. None: by the size of each value. Money
    without a sign is a price.
    """

    name: str
    suffix: str
    decimals: int
    signed: bool
    demanded: bool
    example: str
    scale: str | None = None

    def parse(self, text: str) -> float:
        """Value of a typed amount, e.g. "$1.5bn" -> 1.5e9. Raises BadInput, which names what is wrong.

        A percent or point amount must carry its unit unless it is zero, so that "5" is never
        taken for 5 % by guesswork. Points may be written in percent.
        """
        match = _AMOUNT.fullmatch(text.strip())
        if match is None or (match["sign"] and match["sign2"]):
            raise BadInput(f"“{text}” is not an amount.", self.example)
        negative = (match["sign"] or match["sign2"]) in {"-", MINUS}
        if match["german"]:
            digits = match["german"].replace(".", "").replace(",", ".")
        else:
            digits = match["plain"] or match["grouped"].replace(",", "")
        number = Decimal(digits).scaleb(SCALES[(match["scale"] or "").lower()])
        self._check(text, match["dollar"], match["unit"], match["scale"], number)
        value = float(-number if negative else number)
        if not math.isfinite(value):
            raise BadInput(f"“{text}” is too large.", self.example)
        return value or 0.0

    def _check(self, text: str, dollar: str, unit: str | None, scale: str | None, number: Decimal) -> None:
        """Refuse an amount that carries another unit, or none where one is needed."""
        symbol = "$" if dollar else _SUFFIXES[unit.lower()] if unit else ""
        if dollar and unit:
            raise BadInput(f"“{text}” has two units.", self.example)
        if symbol and symbol != self.symbol and (symbol, self.symbol) != ("%", "pp"):
            raise BadInput(f"“{text}” is in {symbol}; this needs {self.words}.", self.example)
        if scale and self.symbol != "$":
            raise BadInput(f"“{text}”: {scale} is for money; this needs {self.words}.", self.example)
        if not symbol and self.demanded and number != 0:
            raise BadInput(f"“{text}” has no unit; this needs {self.words}.", self.example)

    @property
    def symbol(self) -> str:
        """The sign that marks the unit in a typed amount: $, %, pp, x or nothing."""
        return "$" if self.name.startswith("dollars") else self.suffix

    @property
    def words(self) -> str:
        """The unit named for a message."""
        return _WORDS.get(self.symbol, "a plain number")

    def write(self, value: float) -> str:
        """Canonical text that `parse` reads back to the same float, e.g. 1.5e9 -> "$1.5bn"."""
        number = Decimal(repr(float(value)))
        sign, number = ("-" if number < 0 else ""), abs(number)
        if self.symbol != "$":
            return f"{sign}{_plain(number)}{self.suffix}"
        for scale, power in (("bn", 9), ("m", 6), ("k", 3)):
            if number >= Decimal(1).scaleb(power):
                return f"{sign}${_plain(number.scaleb(-power))}{scale}"
        return f"{sign}${_plain(number)}"

    def in_one_scale(self, largest: float, typed: float = 0.0) -> "Unit":
        """The unit of a chart: money in the scale of a typed amount, else in that of the largest value."""
        if self.symbol != "$" or not self.signed or not math.isfinite(largest):
            return self
        shown = self.write(typed) if typed else self.show(largest)
        return replace(self, scale="".join(filter(str.isalpha, shown)))

    def show(self, value: float | None, decimals: int | None = None) -> str:
        """Rounded text for people: sign shown for changes, U+2212 for minus, "n/a" for None and NaN."""
        if value is None or not math.isfinite(value):
            return NOT_AVAILABLE
        if self.symbol == "$" and self.signed:
            return _money(value, decimals, self.scale)
        places = self.decimals if decimals is None else decimals
        rounded = round(value, places)
        sign = _sign(rounded, self.signed) + ("$" if self.symbol == "$" else "")
        return f"{sign}{abs(rounded):,.{places}f}{self.suffix}"


def _plain(number: Decimal) -> str:
    """A decimal without exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _sign(value: float, plus: bool) -> str:
    return MINUS if value < 0 else "+" if plus and value > 0 else ""


def _money(value: float, decimals: int | None, scale: str | None = None) -> str:
    """Dollars with sign: +$5.55bn, −$31.0m, +$0.82bn; below a tenth of a million in full dollars."""
    places = 2 if decimals is None else decimals
    if scale is None:
        scale = "bn" if abs(value) >= 0.1e9 else "m" if abs(value) >= 0.1e6 else ""
    shown = {"bn": places, "m": max(places - 1, 0)}.get(scale, 0)
    rounded = round(value / 10 ** SCALES[scale], shown)
    return f"{_sign(rounded, True)}${abs(rounded):,.{shown}f}{scale}"


USD = Unit("dollars", "", 2, signed=True, demanded=False, example="$1.5bn")
PRICE = replace(USD, name="dollars a share", signed=False, example="$230", scale="")
PERCENT = Unit("percent", "%", 2, signed=True, demanded=True, example="5%")
POINTS = Unit("percentage points", "pp", 2, signed=True, demanded=True, example="2pp")
MULTIPLE = Unit("times", "x", 1, signed=False, demanded=False, example="25x")
SHARE = Unit("percent of the whole", "%", 1, signed=False, demanded=True, example="80%")
LOW_MULTIPLE = replace(MULTIPLE, decimals=2)  # of book and sales: a tenth of 2x is 5%
YIELD = replace(SHARE, decimals=2)
NUMBER = Unit("number", "", 2, signed=True, demanded=False, example="1.5")
INDEX = Unit("index", "", 1, signed=False, demanded=False, example="100")
LEVEL = Unit("level", "", 4, signed=False, demanded=False, example="0.52")
UNITS = (USD, PERCENT, POINTS, MULTIPLE, LOW_MULTIPLE, SHARE, YIELD, NUMBER, LEVEL, INDEX, PRICE)
