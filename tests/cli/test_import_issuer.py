"""`import issuer`: the file is known by its bytes, taken in whole, and then answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HOLDINGS = """\ufeffiShares Russell 2000 ETF
Fund Holdings as of,"Dec 11, 2020"
Inception Date,"May 22, 2000"
Shares Outstanding,"290,300,000.00"
Stock,"-"
Bond,"-"
Cash,"-"
Other,"-"
\u00a0
Ticker,Name,Sector,Asset Class,Market Value,Weight (%),Notional Value,Quantity,Price,Location,Exchange,\
Currency,FX Rate,Market Currency,Accrual Date
"AAA","AAA CORP","Health Care","Equity","6,000.00","60.00","6,000.00","10.00","600.00","United States",\
"NASDAQ","USD","1.00","USD","-"
"BBB","BBB INC","Financials","Equity","4,000.00","40.00","4,000.00","10.00","400.00","United States",\
"NASDAQ","USD","1.00","USD","-"
\u00a0
"The content is made up."
"""


def test_holdings_are_known_by_their_bytes_and_weigh_the_sectors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, database = tmp_path / "download.bin", tmp_path / "bot.db"
    file.write_text(HOLDINGS, encoding="utf-8")
    assert main(["import", "issuer", str(file), "--db", str(database)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "IWM, iShares holdings: fund facts of 1 session, 2020-12-11; weights of 2 sectors as of 2020-12-11."
    )
    assert "sector weights: 2 new, 0 revised, 0 unchanged" in said
    assert main(["import", "issuer", str(file), "--db", str(database)]) == 0
    assert "sector weights: 0 new, 0 revised, 2 unchanged" in capsys.readouterr().out


def test_a_web_page_is_refused_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, database = tmp_path / "IWM_fund.xls", tmp_path / "bot.db"
    file.write_text("<!doctype html><html><body>Access denied</body></html>", encoding="utf-8")
    assert main(["import", "issuer", str(file), "--db", str(database)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "error: IWM_fund.xls is a web page, not a file of figures. "
        "Download the file in a browser and run: python -m bot import issuer FILE\n"
    )
    assert not database.exists()


def test_another_fund_than_the_one_named_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "holdings.csv"
    file.write_text(HOLDINGS, encoding="utf-8")
    assert main(["import", "issuer", str(file), "--ticker", "SPY", "--db", str(tmp_path / "bot.db")]) == 1
    assert "IWM" in capsys.readouterr().err


def test_other_kinds_need_the_fund(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "prices", "a.csv", "--db", str(tmp_path / "bot.db")]) == 1
    assert capsys.readouterr().err == (
        "error: --ticker is missing. Example: import prices a.csv --ticker IWM\n"
    )
