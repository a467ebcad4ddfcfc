"""What people type, one line an entry: what is typed -> what it is read as, or what it is answered with.

Rules, sentences and questions are read by the pure functions that the dispatch calls; the rest, and what nobody
may create without a tap, goes through python-telegram-bot.
"""

import datetime as dt
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.grammar import nearest_rule, parse_rule
from bot.alerts.lexer import GENERAL, METRIC_WORDS, SPECIFIC, tokenize
from bot.analytics.metrics import METRICS
from bot.chat.commands import BY_NAME, plain_request
from bot.errors import BadInput
from bot.pair import DEFAULT_PAIR
from bot.services.questions import parse_question
from tests.chat.people import rows
from tests.chat.talk import STEP, Talk, talking

TODAY = dt.date(2020, 12, 13)  # a Sunday


def table(text: str) -> dict[str, str]:
    """The entries of a table: by what is typed, what it is read as."""
    pairs = (line.split(" -> ") for line in text.strip().splitlines())
    return {typed.strip(): expected.strip() for typed, expected in pairs}


# Read by the grammar: with /alert each creates at once.
RULES = table("""
    ratio > sma 200 -> ratio > sma 200
    RATIO ABOVE SMA 200 -> ratio > sma 200
    ratio above its 200-day moving average -> ratio > sma 200
    trend crosses its 200 day average -> ratio crosses sma 200
    the ratio drops below its 50-day average -> ratio < sma 50
    ratio below sma 200 -> ratio < sma 200
    ratio at a new 52-week high -> ratio > high 252
    ratio makes a new 20-day low -> ratio < low 20
    ratio above its 90th percentile -> ratio > pct 90
    ratio between 0.45 and 0.5 -> ratio > 0.45 and ratio < 0.5
    ratio between 0,45 and 0,5 -> ratio > 0.45 and ratio < 0.5
    excess 3m between -2pp and 2 % -> excess 3m > -2pp and excess 3m < 2pp
    pe_premium between 10% and 20% -> pe_premium morningstar > 10% and pe_premium morningstar < 20%
    iwm outflows between $1bn and $2bn -> flow iwm 20d < -$1bn and flow iwm 20d > -$2bn
    ratio > sma 200 or excess 3m > 5pp -> ratio > sma 200 or excess 3m > 5pp
    ratio < 0.4 or ratio > 0.6 -> ratio < 0.4 or ratio > 0.6
    iwm above 230 or spy below 340.50 -> price iwm > $230 or price spy < $340.5
    ratio > sma 200 & excess 3m > 1pp -> ratio > sma 200 and excess 3m > 1pp
    ratio > sma 200 && momentum > 0 or beta < 1 -> ratio > sma 200 and momentum > 0pp or beta 252 < 1
    flow iwm 5d => $1bn -> flow iwm 5d >= $1bn
    flow iwm 5d =< $1bn -> flow iwm 5d <= $1bn
    flow iwm 5d ≥ $1bn -> flow iwm 5d >= $1bn
    flow iwm 5d at least $1bn -> flow iwm 5d >= $1bn
    excess 3m < −2pp -> excess 3m < -2pp
    excess 3m < –2pp -> excess 3m < -2pp
    excess 3m < —2pp -> excess 3m < -2pp
    excess 3m < ‐2pp -> excess 3m < -2pp
    excess 3m < -2,5pp -> excess 3m < -2.5pp
    excess 3m > 5% -> excess 3m > 5pp
    excess 3m > 5 percent -> excess 3m > 5pp
    excess 3m > 5 points -> excess 3m > 5pp
    excess 3m > 0 -> excess 3m > 0pp
    excess 6 months > 5pp -> excess 6m > 5pp
    excess six months > 5pp -> excess 6m > 5pp
    excess this year > 5pp -> excess ytd > 5pp
    excess year-to-date > 5pp -> excess ytd > 5pp
    excess since Jan 2020 > 5pp -> excess since 2019-12-31 > 5pp
    excess since 30.09.2020 > 5pp -> excess since 2020-09-30 > 5pp
    excess since Sep 30 2020 > 5pp -> excess since 2020-09-30 > 5pp
    flow iwm 5d > $1,000,000,000 -> flow iwm 5d > $1bn
    flow iwm 5d > $1.000.000.000 -> flow iwm 5d > $1bn
    flow iwm 5d > $1 billion -> flow iwm 5d > $1bn
    flow iwm 5d > 1.5 bln -> flow iwm 5d > $1.5bn
    flow iwm 5d > 500 mio -> flow iwm 5d > $500m
    flow iwm 5d > $250k -> flow iwm 5d > $250k
    flow iwm 5d < $-1bn -> flow iwm 5d < -$1bn
    iwm inflows 5d above $1bn -> flow iwm 5d > $1bn
    FLOW IWM 5D > $1B -> flow iwm 5d > $1bn
    flow 5d > 1000m -> flow iwm 5d > $1bn
    spy outflows 5d above $1bn -> flow spy 5d < -$1bn
    outflows 5d below $1bn -> flow iwm 5d > -$1bn
    iwm inflows exceed 1bn -> flow iwm 20d > $1bn
    iwm outflows of more than 2 billion in 5 days -> flow iwm 5d < -$2bn
    flow change spy 5d > $1bn -> flow_change spy 5d > $1bn
    flow pct spy 20d > 3% -> flow_pct spy 20d > 3%
    flow gap 20d > 2pp -> flow_gap 20d > 2pp
    flow z > 2 -> flow_z iwm 20d > 2
    units spy 3m > 5% -> units spy 3m > 5%
    pe premium over 20 % -> pe_premium morningstar > 20%
    P/E premium greater than 20% -> pe_premium morningstar > 20%
    spy p/e above 30 -> pe spy morningstar > 30x
    iwm p/b > 2x -> pb iwm morningstar > 2x
    p/s of iwm over 1.5 -> ps iwm morningstar > 1.5x
    dividend yield of spy under 1.2% -> yield spy yahoo < 1.2%
    earnings yield iwm > 4% -> earnings_yield iwm losses_in > 4%
    earnings yield gap < -2pp -> earnings_yield_gap losses_in < -2pp
    loss share iwm > 25% -> loss_share iwm losses_in > 25%
    estimates iwm < 90 -> estimates iwm < 90
    iwm > 230 -> price iwm > $230
    iwm's price above $230 -> price iwm > $230
    iwm close < high 20 -> price iwm < high 20
    iwm crosses its 200-day average -> price iwm crosses sma 200
    iwm return < -3% -> return iwm 1d < -3%
    return spy 3m > 10% -> return spy 3m > 10%
    volatility of iwm above 30% -> volatility iwm 20 > 30%
    iwm vol over 30% -> volatility iwm 20 > 30%
    from_high spy 252 < -10% -> from_high spy 252 < -10%
    distance to low iwm > 20% -> from_low iwm 252 > 20%
    drawdown ratio < -10% -> drawdown < -10%
    drawdown spy < -10% and back -> drawdown spy < -10% and back
    correlation 60 drops below 0.7 for 3 days -> corr 60 < 0.7 confirm 3
    beta exceeds 1.3 -> beta 252 > 1.3
    ratio vs sma 100 > 5% -> ratio_vs_sma 100 > 5%
    mansfield 200 climbs above 5 percent -> ratio_vs_sma 200 > 5%
    momentum turns negative -> momentum < 0pp
    slope 60 > 10% -> slope 60 > 10%
    channel > 2 -> channel since 2010-01-04 > 2
    breakout > 0 -> breakout 252 > 0%
    ratio > sma 200 remind 5 -> ratio > sma 200 remind 5
    ratio > sma 200, confirm 2, once -> ratio > sma 200 confirm 2 once
    ratio > sma 200 until 31 Dec 2030 -> ratio > sma 200 until 2030-12-31
    ratio > sma 200 until 12/31/2030 -> ratio > sma 200 until 2030-12-31
    tell me when the ratio hits a new 52-week high -> ratio > high 252
    tell me when outperformance exceeds 5% -> excess 3m > 5pp
    me when iwm is over 230 -> price iwm > $230
    could you let me know if spy goes back above 340 -> price spy > $340
    send me an alert as soon as beta exceeds 1.3 -> beta 252 > 1.3
""")

# Sentences: the rule that they most likely mean, which a tap sets.
SENTENCES = table("""
    tell me when small caps beat large caps by 5% over 3 months -> excess 3m > 5pp
    alert me when IWM beats SPY by 5% over six months -> excess 6m > 5pp
    alert me when SPY beats IWM by 5% over 6 months -> excess 6m < -5pp
    tell me when large caps beat small caps by 4% in one month -> excess 1m < -4pp
    small caps lag by 3 points -> excess 3m < -3pp
    warn me if IWM falls behind by 5% this year -> excess ytd < -5pp
    tell me when the gap is more than 5 points over six months -> excess 6m > 5pp
    alert me when IWM outflows exceed $1bn in a week -> flow iwm 1w < -$1bn
    tell me when money leaves iwm, 2 billion in 5 days -> flow iwm 5d < -$2bn
    tell me when cash flows into spy, $5bn in a month -> flow spy 1m > $5bn
    tell me when iwm's outflows over a month are more than 3% of assets -> flow_pct iwm 1m < -3%
    tell me when flows into iwm are unusual -> flow_z iwm 20d > 2
    tell me when flows accelerate -> flow_change iwm 20d > $1bn
    tell me when the flow gap widens to 2pp -> flow_gap 20d > 2pp
    tell me when shares outstanding of iwm rise 5% in 3 months -> units iwm 3m > 5%
    notify me when iwm drops 10% below its high -> from_high iwm 252 < -10%
    tell me when iwm falls 10% from its high -> from_high iwm 252 < -10%
    tell me when spy is 10% off its peak -> from_high spy 252 < -10%
    tell me when iwm is 20% above its low -> from_low iwm 252 > 20%
    tell me when iwm falls 3% in a day -> return iwm 1d < -3%
    tell me if corr is 7 -> corr 60 < 0.7
    warn me when IWM falls behind -> excess 3m < -5pp
    let us know when money leaves iwm by 1 billion in a week -> flow iwm 1w < -$1bn
    ping me when small caps fall 5% in a week -> return iwm 1w < -5%
    tell me when the S&P 500 drops 5% in a month -> return spy 1m < -5%
    tell me when spy gains 10% in 3 months -> return spy 3m > 10%
    notify me when iwm hits 200 -> price iwm > $200
    tell me when the russell 2000 falls below $150 -> price iwm < $150
    tell me when small caps cross their 200 day average -> price iwm crosses sma 200
    small caps with a volatility of 40% -> volatility iwm 20 > 40%
    tell me when iwm gets volatile -> volatility iwm 20 > 30%
    tell me once correlation drops to 0.8 -> corr 60 < 0.8
    tell me when correlation is at 0.3 -> corr 60 > 0.3
    tell me when beta climbs to 1.3 -> beta 252 > 1.3
    tell me when the drawdown of iwm is worse than 20% -> drawdown iwm < -20%
    tell me when drawdown is more than 30% -> drawdown < -30%
    tell me when the ratio breaks out -> breakout 252 > 0%
    tell me when the ratio breaks down -> breakout_low 252 < 0%
    tell me when the ratio's slope is over 10% -> slope 60 > 10%
    tell me when momentum has turned positive -> momentum > 0pp
    tell me if the ratio drops 5% -> ratio < sma 200
    tell me if the trend breaks -> ratio > sma 200
    warn me if the ratio vs sma is 3 % -> ratio_vs_sma 200 > 3%
    tell me when the channel reaches 2 -> channel since 2010-01-04 > 2
    tell me when small caps are cheap -> pe_premium morningstar < -20%
    tell me when small caps are expensive -> pe_premium morningstar > 20%
    let me know when the p/e premium drops to 20% -> pe_premium morningstar < 20%
    tell me when the price to earnings ratio of iwm is above 25 -> pe iwm morningstar > 25x
    tell me when iwm price to book is above 2 -> pb iwm morningstar > 2x
    tell me when iwm price to sales is over 1.5 -> ps iwm morningstar > 1.5x
    tell me when iwm price to cash flow is over 15 -> pcf iwm morningstar > 15x
    tell me when iwm price to free cash flow is over 25 -> pfcf iwm morningstar > 25x
    tell me when iwm yields more than 2% -> yield iwm yahoo > 2%
    tell me when the earnings yield of iwm reaches 4% -> earnings_yield iwm losses_in > 4%
    tell me when loss makers in iwm exceed 25% -> loss_share iwm losses_in > 25%
    tell me when estimates for iwm fall below 90 -> estimates iwm < 90
""")

# The words of /compare: its windows and the day asked about.
QUESTIONS = table("""
    6m -> 6m
    6 months -> 6m
    six months -> 6m
    last 6 months -> 6m
    the last six months -> 6m
    over the past 3 months -> 3m
    last month -> 1m
    past quarter -> 3m
    last year -> 1y
    1y,3y -> 1y 3y
    6 months, 2 years -> 6m 2y
    2 yrs 10 sessions -> 2y 10d
    max -> max
    all time -> max
    qtd -> qtd
    this month -> mtd
    this quarter -> qtd
    this year -> ytd
    year to date -> ytd
    year-to-date -> ytd
    YTD tr -> ytd
    IWM vs SPY 6m -> 6m
    iwm and spy over 6 months -> 6m
    30.09.2020 -> since 2020-09-30
    Sep 30 2020 -> since 2020-09-30
    30 September, 2020 -> since 2020-09-30
    2020-09-30 -> since 2020-09-30
    9/30/2020 -> since 2020-09-30
    30/9/2020 -> since 2020-09-30
    since 30 Sep 2020 -> since 2020-09-30
    from 30 Sep 2020 -> since 2020-09-30
    30 sep -> since 2020-09-30
    since march -> since 2020-02-29
    dec 24 -> since 2019-12-24
    2020-12-11 2020-09-30 -> since 2020-09-30 asof 2020-12-11
    2020-09 -> since 2020-08-31
    Sep 2020 -> since 2020-08-31
    2020 -> since 2019-12-31
    yesterday -> since 2020-12-12
    since yesterday -> since 2020-12-12
    last friday -> since 2020-12-11
    since monday -> since 2020-12-07
    last sunday -> since 2020-12-06
    this week -> since 2020-12-04
    3 months ago -> since 2020-09-13
    since 10 days ago -> since 2020-12-03
    2020-09-30 2020-12-11 -> since 2020-09-30 asof 2020-12-11
    from 30.9.2020 to 11.12.2020 -> since 2020-09-30 asof 2020-12-11
    2020-09-30 - 2020-12-11 -> since 2020-09-30 asof 2020-12-11
    between 2020-09-30 and 2020-12-11 -> since 2020-09-30 asof 2020-12-11
    3 months ago until last friday -> since 2020-09-13 asof 2020-12-11
    1m asof yesterday -> 1m asof 2020-12-12
    1m as of last friday -> 1m asof 2020-12-11
    1y asof 2020-11 -> 1y asof 2020-11-30
    asof 30 Sep 2020 -> asof 2020-09-30
""")

# Without a slash: the command and its words.
PLAIN = table("""
    iwm -> compare iwm
    6m -> compare 6m
    small caps -> compare iwm
    how are small caps doing? -> compare iwm
    please show me small caps vs large caps -> compare iwm spy
    IWM vs SPY last 6 months -> compare iwm spy 6months
    what did IWM do this year? -> compare iwm ytd
    how did small caps do yesterday? -> compare iwm yesterday
    small caps since Sep 30 2020 -> compare iwm since 2020-09-30
    small caps since 09/10/2020 -> compare iwm since 09/10/2020
    russell 2000 vs S&P 500 this year -> compare iwm spy ytd
    what happened yesterday? -> compare yesterday
    compare 1y, 3y -> compare 1y, 3y
    WHY -> why
    why 3m -> why 3m
    why did small caps fall? -> why
    trend? -> trend
    show me the trend -> trend
    flows this year -> flows this year
    show my alerts -> alerts
    delete alert 1 -> alert 1
    turn off alert #2 please -> alert 2
    alert 1 -> alert 1
    what is beta? -> help beta
    what is the percentile? -> help percentile
    what does sigma mean? -> help sigma
    explain the P/E -> help P/E
    tell me about spy outflows -> chart spy outflows
    how much money left spy last month? -> chart flow spy 1m
    which is cheaper? -> chart pe_premium
    iwm volatility -> chart iwm volatility
    what is the p/e of iwm? -> chart p/e iwm
    correlation last 2 years -> chart correlation 2years
    dividend yield spy -> chart dividend yield spy
    send me a summary every day -> summary
    where are the settings? -> settings
    ratio > sma 200 -> alert new ratio > sma 200
    alert ratio > sma 200 -> alert new ratio > sma 200
    alert me when iwm is over 230 -> alert new alert me when iwm is over 230
    iwm inflows 5d above $1bn -> alert new iwm inflows 5d above $1bn
    flows into iwm exceed $1bn -> alert new flows into iwm exceed $1bn
    ratoi > 0.9 -> alert new ratoi > 0.9
    summary on 18:30 -> summary on 18:30
    hello -> nothing
    are you there? -> nothing
    make me rich -> nothing
    thanks -> nothing
""")

# Through the chat: a line of the answer.
CHAT = table("""
    /compare 2020-09-30 2020-12-11 -> IWM leads since 2020-09-30 · Fri 11 Dec 2020
    /compare yesterday -> IWM leads on every window · Fri 11 Dec 2020
    /compare 09/10/2020 -> “09/10/2020” can be two dates; type 2020-10-09 or 2020-09-10.
    /alert excess since 09/10/2020 > 5pp -> “09/10/2020” can be two dates; type 2020-10-09 or 2020-09-10.
    /compare since 2021-01-01 -> “since 2021-01-01” begins after the last known close, Fri 11 Dec 2020.
    /compare 6q -> Example: /compare 3y tr asof 2020-12-11
    /flows yesterday -> Money went into IWM and SPY, 1d · Fri 11 Dec 2020
    /chart iwm -> IWM's price: $190.30 · Fri 11 Dec 2020
    /chart ratio this year -> IWM/SPY: 0.5195 · Fri 11 Dec 2020
    /chart ratio > 5 -> Example: /chart ratio
    /backtest ratio > sma 200 asof last friday -> Fired 18 times in 5 years · Fri 11 Dec 2020
    /sectors asof Sep 2020 -> No weights are stored · Wed 30 Sep 2020
    /help percentile -> percentile
    /help sigma -> sigma
    /help inflows -> flow · Fund flow
    /help dividend yield -> yield · Yield
    /help moving average -> moving average
    /help and back -> and back
    /help smaa -> There is no help on “smaa”. Did you mean sma?
    /alert drawdown > 30% -> “> 30%” is never true: drawdown is always above -100% and never above 0%.
    /alert rato > sma 200 -> “rato” is not a metric. Did you mean ratio?
    /alert excess 3m > 5pq -> Example: /alert excess 3m > 5pp
    /alert blah blah -> “blah” is not a metric. What should it watch? All metrics: /help metrics
    /alert tell me when small caps beat large caps by 5% -> “small” is not a metric. Do you mean this rule?
    tell me when it rains -> See: /alert
    ratoi > 0.9 -> “ratoi” is not a metric. Did you mean ratio?
    /summary on 6:30pm -> Daily summary at 18:30 (America/New_York), on every day with a new close.
    /summary on 18 -> Daily summary at 18:00 (America/New_York), on every day with a new close.
    /summary on 1830 -> Daily summary at 18:30 (America/New_York), on every day with a new close.
    /summary on 18.30 -> Daily summary at 18:30 (America/New_York), on every day with a new close.
    /summary on 18:30 -> Daily summary at 18:30 (America/New_York), on every day with a new close.
    /summary on 6 pm -> Daily summary at 18:00 (America/New_York), on every day with a new close.
    /summary on noon -> Daily summary at 12:00 (America/New_York), on every day with a new close.
    /summary on 7:45 -> Daily summary at 07:45 (America/New_York), on every day with a new close.
    /summary on 18h30 -> Daily summary at 18:30 (America/New_York), on every day with a new close.
    /summary on 25:00 -> Example: /summary on 18:30
    /settings zone berlin -> Time zone: Europe/Berlin (set)
    /settings zone new york -> Time zone: America/New_York (set)
    /settings zone NYC -> Time zone: America/New_York (set)
    /settings zone München -> Time zone: Europe/Berlin (set)
    /settings zone Muenchen -> Time zone: Europe/Berlin (set)
    /settings zone Zuerich -> Time zone: Europe/Zurich (set)
    /settings zone Frankfurt -> Time zone: Europe/Berlin (set)
    /settings zone São Paulo -> Time zone: America/Sao_Paulo (set)
    /settings zone Buenos Aires -> Time zone: America/Argentina/Buenos_Aires (set)
    /settings zone St. Louis -> Time zone: America/Chicago (set)
    /settings zone ASIA/TOKYO -> Time zone: Asia/Tokyo (set)
    /settings zone UTC+2 -> Time zone: UTC+2 (set)
    /settings zone GMT+1 -> Time zone: UTC+1 (set)
    /settings zone utc−3 -> Time zone: UTC-3 (set)
    /settings zone +2 -> Time zone: UTC+2 (set)
    /settings zone UTC +14 -> Time zone: UTC+14 (set)
    /settings zone gmt+00:00 -> Time zone: UTC (set)
    /settings zone Etc/GMT+5 -> Time zone: UTC-5 (set)
    /settings zone UTC+5:30 -> UTC+5:30 is taken as the time of Kolkata, which has no summer time.
    /settings zone EST -> EST is taken as the time of New York, summer time too.
    /settings zone pst -> PST is taken as the time of Los Angeles, summer time too.
    /settings zone CEST -> Time zone: Europe/Berlin (set)
    /settings timezone Berlin, Germany -> Time zone: Europe/Berlin (set)
    /settings zone Atlantis -> “Atlantis” is not a time zone. Did you mean Canada/Atlantic?
    /settings zone UTC+10:30 -> Example: /settings zone Asia/Kolkata
    /settings numbers German -> Numbers: 1.234,5 (set)
    /settings numbers swiss -> Numbers: 1'234.5 (set)
    /settings numbers 1'234.5 -> Numbers: 1'234.5 (set)
    /settings numbers us -> Numbers: 1,234.5 (set)
    /settings quiet 22-7 -> Quiet hours: 22:00-07:00 (set)
    /settings quiet 10pm-7am -> Quiet hours: 22:00-07:00 (set)
    /settings quiet 10 pm to 7 am -> Quiet hours: 22:00-07:00 (set)
    /settings quiet 2230 – 6.15 -> Quiet hours: 22:30-06:15 (set)
    /settings quiet 9.30 to 18:05 -> Quiet hours: 09:30-18:05 (set)
    /settings quiet from 10pm until 7am -> Quiet hours: 22:00-07:00 (set)
    /settings QUIET Off -> Quiet hours: off (set)
    /settings returns TOTAL -> Returns: total (set)
    /settings returns tr -> Returns: total (set)
""")


@pytest.mark.parametrize("typed", RULES)
def test_a_rule_is_read_as_people_write_it(typed: str) -> None:
    assert str(parse_rule(typed, METRICS)) == RULES[typed]


@pytest.mark.parametrize("typed", SENTENCES)
def test_a_sentence_is_answered_with_the_rule_that_it_means(typed: str) -> None:
    assert nearest_rule(typed, METRICS) == SENTENCES[typed]
    with pytest.raises(BadInput) as caught:
        parse_rule(typed, METRICS)
    assert caught.value.example == SENTENCES[typed]
    assert plain_request(typed, DEFAULT_PAIR, TODAY) == ("alert", f"new {typed}")


@pytest.mark.parametrize("typed", QUESTIONS)
def test_windows_and_dates_are_read_as_people_write_them(typed: str) -> None:
    question = parse_question(typed, "/compare", DEFAULT_PAIR, TODAY, kinds=True)
    assert f"{' '.join(map(str, question.windows))}{question.dates.suffix}".strip() == QUESTIONS[typed]


@pytest.mark.parametrize("typed", PLAIN)
def test_plain_words_lead_to_the_command_that_they_ask_for(typed: str) -> None:
    request = plain_request(typed, DEFAULT_PAIR, TODAY)
    assert (" ".join(request).strip() if request else "nothing") == PLAIN[typed]


async def test_each_line_is_answered(talk: Talk) -> None:
    for typed, expected in CHAT.items():
        talk.now += STEP
        (answer, *_) = await talk.ask(typed)
        assert expected in answer.text.splitlines(), (typed, answer.text)
        _, _, example = answer.text.partition("\nExample: ")
        assert not example or example.split()[0] in (typed.split()[0], "/alert")


async def test_without_a_command_nothing_is_created_or_deleted_before_a_tap(sample: Path, tmp_path: Path) -> None:
    async with talking(sample, tmp_path) as talk:
        await talk.ask("/alert ratio > 0.9")
        before = await talk.database.run(rows)
        for typed in (*SENTENCES, *PLAIN, *RULES):
            if typed in {"summary on 18:30", "alert 1"}:
                continue  # a command with its words
            talk.now += STEP
            (answer, *_) = await talk.ask(typed)
            assert await talk.database.run(rows) == before, typed
            if typed in SENTENCES:
                assert answer.text.startswith("Do you mean this?\nYour rule: "), typed
            elif typed in RULES:
                assert answer.text.startswith("Your rule: "), (typed, answer.text)
        (created,) = await talk.press((await talk.ask("tell me when iwm falls 3% in a day"))[0], "Create")
        assert "return iwm 1d < -3%" in created.text
        assert len(await talk.rows("alerts")) == 2


async def test_a_date_that_can_be_two_has_a_button_for_each(talk: Talk) -> None:
    (asked,) = await talk.ask("/compare 09/10/2020")
    assert [button for row in asked.buttons for button in row] == [
        ("9 Oct 2020", "e/compare 2020-10-09"),
        ("10 Sep 2020", "e/compare 2020-09-10"),
    ]
    (answer, *_) = await talk.press(asked, "9 Oct 2020")
    assert "since 2020-10-09" in answer.text
    (asked,) = await talk.ask("/alert excess since 09/10/2020 > 5pp")
    (page,) = await talk.press(asked, "9 Oct 2020")
    assert "excess since 2020-10-09 > 5pp" in page.text.splitlines()
    assert await talk.rows("alerts") == []


WORDS = sorted({word for line in (*RULES, *SENTENCES, *QUESTIONS, *PLAIN) for word in line.split()})
EXTRA = (*METRICS, "blah", "off", "yes", "forgetme")
typed_lines = st.lists(st.sampled_from([*WORDS, *EXTRA]), min_size=1, max_size=9).map(" ".join)


@given(typed_lines)
def test_words_without_a_command_create_change_or_delete_nothing(typed: str) -> None:
    request = plain_request(typed, DEFAULT_PAIR, TODAY)
    if request is None:
        return
    name, words = request
    command = BY_NAME[name]
    changes = command.changes is not None and command.changes(words)
    assert not changes or typed.lower() == f"{typed.split(maxsplit=1)[0].lower()} {words.lower()}"  # typed as a command
    assert not changes or name != "alert" or words[0].isdigit()


def named(typed: str) -> set[str]:
    """The metrics that a line names, by whatever word."""
    names = {name: name for name in METRICS} | METRIC_WORDS
    words = " ".join(token.text for token in tokenize(typed)).replace("_", " ")
    meant = {metric for metric, pattern in (*SPECIFIC.items(), *GENERAL.items()) if pattern.search(words)}
    return meant | {names[name] for name in names if re.search(rf"\b{name.replace('_', ' ')}\b", words)}


@given(typed_lines)
def test_a_guess_is_only_an_example_and_one_about_a_metric_that_was_named(typed: str) -> None:
    try:
        parse_rule(typed, METRICS, guesses=False)
    except BadInput:
        with pytest.raises(BadInput) as caught:
            parse_rule(typed, METRICS)
        example = caught.value.example
        if example and named(typed):
            metrics = {condition.metric for condition in parse_rule(example, METRICS).conditions}
            corrected = caught.value.sentence.partition("Did you mean ")[2]
            assert metrics & named(f"{typed} {corrected}"), (typed, example)
