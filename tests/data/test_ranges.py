from __future__ import annotations

import pytest

from bot.data.csv_cells import BadCell
from bot.data.csv_formats import check_facts


def test_what_a_fund_may_have_passes_and_so_does_what_is_missing() -> None:
    check_facts({"nav": 689.56, "shares": 1_032_782_016.0, "assets": 712_072_560_640.0})
    check_facts({"nav": None, "shares": 150_000.0})
    check_facts({})


def test_figures_that_cannot_belong_together_are_refused() -> None:
    wrong = (
        "^nav 190.2 times shares 90,000,000,000 is above 10,000,000,000,000 dollars, more than any fund has$"
    )
    with pytest.raises(BadCell, match=wrong):
        check_facts({"nav": 190.2, "shares": 9e10})
