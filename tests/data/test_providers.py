"""Which sources a config switches on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.config import load_config
from bot.data.refresh import build_providers

if TYPE_CHECKING:
    from pathlib import Path

FILE = '[pair.small]\nticker = "IWM"\nissuer_file = "https://www.example.com/IWM_fund.xls"\n'


def names(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return [provider.name for provider in build_providers(load_config(file))]


def test_yahoo_alone_unless_more_is_asked_for(tmp_path: Path) -> None:
    assert names(tmp_path, "") == ["yahoo"]
    assert names(tmp_path, "[sources]\nyahoo = false") == []


def test_a_daily_csv_and_the_issuers_come_after_it(tmp_path: Path) -> None:
    text = f'[sources]\ndaily_csv = "https://www.example.com/{{ticker}}.csv"\n[issuer]\nfetch = true\n{FILE}'
    assert names(tmp_path, text) == ["yahoo", "daily-csv", "issuer"]


def test_an_issuer_is_asked_only_with_the_switch_and_an_address(tmp_path: Path) -> None:
    assert names(tmp_path, "[issuer]\nfetch = true") == ["yahoo"]
    assert names(tmp_path, FILE) == ["yahoo"]
