"""Which sources a config switches on, and which files of the funds they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.config import load_config
from bot.data.refresh import FIGURES, build_providers

if TYPE_CHECKING:
    from pathlib import Path

    from bot.data.provider import Provider

QUIET = "[issuer]\nfetch = false\n"


def providers(tmp_path: Path, text: str) -> list[Provider]:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return build_providers(load_config(file))


def names(tmp_path: Path, text: str) -> list[str]:
    return [provider.name for provider in providers(tmp_path, text)]


def files(tmp_path: Path, text: str) -> list[str]:
    [issuers] = providers(tmp_path, f"[sources]\nyahoo = false\n{text}")
    tickers = issuers.tickers
    return [f"{ticker} {figure}" for figure in FIGURES for ticker in tickers if issuers.has(ticker, figure)]


def test_yahoo_and_the_issuers_unless_they_are_switched_off(tmp_path: Path) -> None:
    assert names(tmp_path, "") == ["yahoo", "issuer", "yahoo"]
    assert names(tmp_path, f"[sources]\nyahoo = false\n{QUIET}") == []


def test_a_daily_csv_comes_between_them(tmp_path: Path) -> None:
    text = '[sources]\ndaily_csv = "https://www.example.com/{ticker}.csv"\n'
    assert names(tmp_path, text) == ["yahoo", "daily-csv", "issuer", "yahoo"]


def test_the_files_of_the_usual_pair_are_known_and_each_can_be_replaced_or_left_out(tmp_path: Path) -> None:
    usual = ["IWM fund", "SPY fund", "IWM holdings", "SPY holdings", "SPY distributions"]
    assert files(tmp_path, "") == usual
    fewer = '[pair.large]\nticker = "SPY"\nholdings_file = ""\ndistributions_file = ""\n'
    assert files(tmp_path, fewer) == usual[:3]
    [issuers] = providers(
        tmp_path, '[sources]\nyahoo = false\n[pair.small]\nticker = "IWM"\nissuer_file = "https://www.example.com/1"'
    )
    [usually] = providers(tmp_path, "[sources]\nyahoo = false\n")
    assert issuers.address("IWM", "fund") != usually.address("IWM", "fund")
    assert issuers.address("IWM", "holdings") == usually.address("IWM", "holdings")


def test_of_another_pair_no_file_is_known(tmp_path: Path) -> None:
    other = '[pair]\nsmall = "IJR"\nlarge = "IVV"\n'
    assert names(tmp_path, other) == ["yahoo", "yahoo"]
    assert files(tmp_path, '[pair.small]\nticker = "IJR"\nissuer_file = "https://www.example.com/1"\n') == [
        "IJR fund",
        *(file for file in ("SPY fund", "SPY holdings", "SPY distributions")),
    ]
