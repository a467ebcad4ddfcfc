from __future__ import annotations

import pytest

from bot.data.csv_cells import BadCell
from bot.data.csv_formats import check_facts
from storage.rows import FundFacts


def test_what_a_fund_may_have_passes_and_so_does_what_is_missing() -> None:
    check_facts(FundFacts("SPY", "2026-02-03", 689.56, 1_032_782_016.0, 712_072_560_640.0))
    check_facts(FundFacts("IWM", "2007-06-25", None, 150_000.0))
    check_facts(FundFacts("IWM", "2007-06-25"))


def test_figures_that_cannot_belong_together_are_refused() -> None:
    wrong = (
        "^nav 190.2 times shares 90,000,000,000 is above 10,000,000,000,000 dollars, more than any fund has$"
    )
    with pytest.raises(BadCell, match=wrong):
        check_facts(FundFacts("IWM", "2020-12-11", 190.2, 9e10))
