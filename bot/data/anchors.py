"""Figures that the sample market's simulation is tied to where no history is published.

They are made up to agree with what was said in December 2020: IWM at 75 times estimated earnings and
14.4 times cash flow on 2020-12-11, its earnings estimates down 49% in 2020 against 14% for SPY; SPY with
860,882,116 units and a NAV of 364.751 on 2020-12-14, and outflows of $31.08bn since New Year and
$13.48bn in three months. The rest is plausible, no more.
"""

from __future__ import annotations

from bot.analytics.market import LARGE, SMALL

SPY_NAV = {"2020-12-14": 364.751}
SPY_CLOSE = {"2020-12-14": 364.75}
SPY_UNITS_PUBLISHED = 860_882_116

# Millions of SPY units, rounded to whole lots from the published count.
SPY_MILLIONS = {
    "2009-12-31": 760,
    "2010-12-31": 715,
    "2011-12-30": 760,
    "2012-12-31": 865,
    "2013-12-31": 950,
    "2014-12-31": 1_050,
    "2015-12-31": 900,
    "2016-12-30": 1_005,
    "2017-12-29": 1_040,
    "2018-12-31": 960,
    "2019-12-31": 960.5,
    "2020-02-19": 966,
    "2020-03-23": 936,
    "2020-06-30": 921,
    "2020-09-14": 900.55,
    "2020-12-14": SPY_UNITS_PUBLISHED / 1e6,
}

# Sessions of the multiples below; all have a published close.
MULTIPLES_AT = (
    "2014-12-31", "2015-12-31", "2016-12-30", "2017-12-29", "2018-12-31",
    "2019-12-31", "2020-03-31", "2020-06-30", "2020-09-30", "2020-12-11",
)  # fmt: skip

# Losses counted in, on estimated figures: times, and percent for the yield.
MULTIPLES = {
    (SMALL, "pe"): (26.1, 25.2, 29.8, 30.4, 22.9, 33.3, 27.9, 52.1, 61.1, 75.0),
    (LARGE, "pe"): (17.6, 18.1, 18.9, 20.2, 16.6, 21.01, 18.0, 23.5, 25.9, 27.8),
    (SMALL, "pcf"): (10.9, 10.2, 11.6, 11.3, 8.6, 10.03, 7.6, 10.4, 11.0, 14.4),
    (LARGE, "pcf"): (11.6, 11.5, 12.3, 13.6, 11.2, 14.29, 11.8, 14.7, 15.8, 17.3),
    (SMALL, "ps"): (1.15, 1.05, 1.2, 1.25, 0.98, 1.161, 0.82, 1.07, 1.13, 1.45),
    (LARGE, "ps"): (1.78, 1.78, 1.88, 2.08, 1.83, 2.259, 1.84, 2.23, 2.43, 2.65),
    (SMALL, "pb"): (2.05, 1.9, 2.13, 2.16, 1.78, 1.944, 1.4, 1.77, 1.85, 2.35),
    (LARGE, "pb"): (2.75, 2.7, 2.83, 3.1, 2.85, 3.595, 2.9, 3.47, 3.74, 4.05),
    (SMALL, "yield"): (1.4, 1.55, 1.38, 1.3, 1.5, 1.26, 1.75, 1.4, 1.33, 1.05),
    (LARGE, "yield"): (1.9, 2.1, 2.02, 1.82, 2.08, 1.75, 2.2, 1.85, 1.7, 1.56),
}

# Percent of each fund by sector, made up to look like the end of 2020.
WEIGHTS_AT = "2020-11-30"
WEIGHTS = {
    "Health Care": (21.0, 13.9),
    "Industrials": (15.4, 8.7),
    "Financials": (15.2, 10.3),
    "Information Technology": (13.6, 27.6),
    "Consumer Discretionary": (13.2, 11.9),
    "Real Estate": (6.2, 2.5),
    "Materials": (4.6, 2.7),
    "Consumer Staples": (3.2, 6.7),
    "Utilities": (3.0, 2.9),
    "Communication Services": (2.4, 10.6),
    "Energy": (2.2, 2.2),
}
# Percent of revenue from the United States as the article has it: about 80, and under 60.
REVENUE_AT_HOME = (80.0, 59.0)
