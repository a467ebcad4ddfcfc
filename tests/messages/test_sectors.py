from dataclasses import replace

import pandas as pd

from bot.analytics.market import Market
from bot.analytics.windows import AsOf
from bot.messages.canvas import LIGHT
from bot.messages.pages.sectors import parts, sectors_answer
from tests.messages.pages import shown
from tests.sample_market import sample_market


def lines(market: Market, part: str = "") -> list[str]:
    return shown(sectors_answer(market, AsOf(), LIGHT, part))


def test_without_weights_it_says_so_and_how_to_get_them() -> None:
    whole = sample_market()
    answer = sectors_answer(replace(whole, weights=whole.weights.iloc[:0]), AsOf(), LIGHT)
    assert answer.steps == ("Others are imported: python -m bot import weights FILE --ticker IWM",)
    text = shown(answer)
    assert text[0].startswith("No weights are stored · ")
    assert "Share of revenue from the home market: n/a, none imported." in text


def test_one_fund_alone_is_not_compared() -> None:
    whole = sample_market()
    rows = whole.weights[(whole.weights["ticker"] == "IWM") & (whole.weights["level"] == "sector")]
    text = lines(replace(whole, weights=rows))
    assert "Only IWM from this source: nothing to compare with." in text
    assert any(line.split()[-2:] == ["n/a", "n/a"] for line in text)


def test_a_long_group_name_is_cut_to_its_column() -> None:
    group = pd.DataFrame({"ticker": ["IWM", "SPY"], "weight": [12.0, 7.0]}).assign(
        session=pd.Timestamp("2020-11-30"), level="industry group", sector="Pharmaceuticals & <Biotech>", source="csv"
    )
    text = lines(replace(sample_market(), weights=group))
    assert "Industry groups, 30 Nov 2020 (9 sessions old)." in text
    assert text[0].startswith("IWM holds 5.0pp more pharmaceuticals & <Biotech> than SPY")
    assert any(line.startswith("Pharmaceutic…") for line in text)


def test_groups_and_sectors_of_the_companies_say_what_they_cover() -> None:
    weights = [
        ("industry group", "Biotech and pharma", 12.1, 4.0, "companies"),
        ("sector", "Healthcare", 20.0, 12.5, "companies"),
        ("sector", "Technology", 76.8, 87.0, "companies"),
        ("sector", "Technology", 60.0, 70.0, "yahoo"),
    ]
    rows = [
        {"ticker": ticker, "level": level, "sector": name, "weight": weight, "source": source}
        for level, name, small, large, source in weights
        for ticker, weight in (("IWM", small), ("SPY", large))
    ]
    frame = pd.DataFrame(rows).assign(session=pd.Timestamp("2020-12-04"))
    of = replace(sample_market(), weights=frame)
    assert list(parts(of)) == ["companies", "groups"]  # Yahoo's are of the same classification
    text = [" ".join(line.split()) for line in lines(of)]
    assert text[2:6] == [
        "Morningstar sectors of the companies, 4 Dec 2020 (5 sessions old).",
        "IWM SPY gap",
        "Technology 76.8% 87.0% −10.2pp",
        "Healthcare 20.0% 12.5% +7.5pp",
    ]
    assert "Companies of a known sector: IWM 96.8%, SPY 99.5% of weight." in text
    text = [" ".join(line.split()) for line in lines(of, "groups")]
    assert text[0].startswith("IWM holds 8.1pp more biotech and pharma than SPY · ")
    assert text[2:5] == [
        "Industry groups, 4 Dec 2020 (5 sessions old).",
        "IWM SPY gap",
        "Bio & pharma 12.1% 4.0% +8.1pp",
    ]
