"""First contact: what the bot does, then three choices by taps: alerts, time zone and daily summary.

Every page is one message that its buttons edit; what was chosen is what is stored. A step can be skipped.
"""

import datetime as dt
import math
from collections.abc import Collection, Mapping, Sequence
from zoneinfo import ZoneInfo, available_timezones

from bot.alerts.backtest import Frequency
from bot.alerts.presets import Preset
from bot.alerts.view import EvaluationContext
from bot.analytics.performance import performance
from bot.analytics.sessions import EXCHANGE
from bot.analytics.windows import AsOf, Window
from bot.messages import common
from bot.messages.alerts import words
from bot.messages.common import Answer, Button, in_rows
from bot.messages.html import Html, bold, lines, session_phrase, zone_label, zone_name
from bot.messages.pages.help import PURPOSE
from bot.messages.pages.summary import led
from bot.text import counted

_YTD = Window("ytd")
CITIES = (
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "Europe/London"),
    *("Europe/Berlin", "Asia/Kolkata", "Asia/Singapore", "Australia/Sydney"),
)
_NAMES = {"Asia/Kolkata": "Mumbai"}  # a larger city with the same time
REGIONS = ("Africa", "America", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
_CITIES_A_PAGE = 90  # of the 100 buttons that Telegram shows
_AFTER_CLOSE = dt.time(16, 45)  # in New York, when the close has settled


def start_page(context: EvaluationContext, presets: Mapping[Preset, Frequency], chosen: Collection[str]) -> Answer:
    """The first step: what the bot does, today in a sentence, and the rules that can be evaluated.

    presets  with how often each would have fired; chosen  the names of those that are alerts already
    """
    market = context.market
    rows = [
        bold("✓ " * (preset.name in chosen) + preset.name) + f": {preset.meaning}{_frequency(past)}"
        for preset, past in presets.items()
    ]
    nothing = "No rule can be evaluated yet, because data is missing: /status" if not rows else None
    html = lines(
        bold(market.pair.fill("Small caps against large caps: {small} and {large}")),
        PURPOSE,
        today_sentence(context),
        "",
        bold("1 of 3. What should I tell you?"),
        *rows,
        nothing,
    )
    left = [preset.name for preset in presets if preset.name not in chosen]
    choices: list[Button] = [(name, f"/start add {name.lower()}") for name in left]
    every = (("All", "/start add all"),) if len(left) > 1 else ()
    onward = (*every, ("Next ›" if chosen else "Later ›", "/start where"))
    look = (*common.page_buttons(AsOf(), "Compare"), ("My own rule", "/alert new"), ("Help", "/help"))
    quote = lines("Change them at any time: /alerts", common.market_sources(market, "prices"), common.DISCLAIMER)
    return Answer(html, quote=quote, buttons=(*in_rows(choices, 2), onward, look))


def today_sentence(context: EvaluationContext) -> str | None:
    """Who leads this year and where the ratio is against its average; None without prices."""
    market = context.market
    if market.end is None:
        return None
    leader = led(market, performance(market, _YTD, total=False).gap, "leads this year")
    sample = f" {common.SAMPLE_NOTICE}" if market.is_sample else ""
    close = common.with_age(session_phrase(market.end), market, market.end)
    return f"{leader}, {close}. {common.trend_line(market)}{sample}"


def _frequency(past: Frequency) -> str:
    if past.since is None or past.until is None:
        return ""
    years = max(round((past.until - past.since).days / 365.25), 1)
    count = f"have fired {words.times(past.count)}" if past.count else "not have fired"
    return f" It would {count} in {counted(years, 'year')}."


def zones_page(zone: ZoneInfo, now: dt.datetime) -> Answer:
    """The second step: nine cities with the time there."""
    choices = [(f"{_NAMES.get(name) or zone_name(ZoneInfo(name))} {_time(name, now)}", name) for name in CITIES]
    buttons = in_rows([(label, f"/start zone {name}") for label, name in choices], 3)
    html = lines(
        bold("2 of 3. Where are you?"),
        f"Now: {zone_label(zone.key)}, {_time(zone.key, now)}. Messages, quiet hours and the summary follow it.",
        "Change it at any time: /settings zone",
    )
    return Answer(html, buttons=(*buttons, (("Other", "/start region"), ("Keep it ›", "/start when"))))


def region_page(region: str, page: int, now: dt.datetime) -> Answer:
    """The cities of a region, 90 a page, with the time there; the regions themselves for an unknown one."""
    back = ("‹ Back", "/start where")
    if region not in REGIONS:
        choices = [(name, f"/start region {name}") for name in REGIONS]
        return Answer(lines(bold("Which region?")), buttons=(*in_rows(choices, 2), (("UTC", "/start zone UTC"), back)))
    names = sorted(name for name in available_timezones() if name.startswith(f"{region}/"))
    pages = math.ceil(len(names) / _CITIES_A_PAGE)
    page = min(max(page, 1), pages)
    shown = names[(page - 1) * _CITIES_A_PAGE : page * _CITIES_A_PAGE]
    choices = [(f"{zone_name(ZoneInfo(name))} {_time(name, now)}", f"/start zone {name}") for name in shown]
    turns = tuple(
        (label, f"/start region {region} {other}")
        for label, other in (("‹ Previous", page - 1), ("More ›", page + 1))
        if 1 <= other <= pages
    )
    title = bold(f"Which city in {region}?") + (f" Page {page} of {pages}." if pages > 1 else "")
    return Answer(lines(title), buttons=(*in_rows(choices, 3), (*turns, back)))


def _time(zone: str, now: dt.datetime) -> str:
    return f"{now.astimezone(ZoneInfo(zone)):%H:%M}"


def summary_step(zone: ZoneInfo, now: dt.datetime, *, is_set: bool) -> Answer:
    """The third step: when the daily summary comes. `is_set`: whether the zone was set just now."""
    after = f"{_after_close(zone, now.astimezone(EXCHANGE).date()):%H:%M}"
    html = lines(
        bold(f"Your time zone is {zone_label(zone.key)}: {_time(zone.key, now)} now.") if is_set else None,
        bold("3 of 3. A summary every day?"),
        f"It says what is new, on every day with a new close. Times are those of {zone_name(zone)}.",
        "Change it at any time: /summary",
    )
    times = ((f"After the close, {after}", f"/start summary {after}"),)
    more = (*((time, f"/start summary {time}") for time in ("18:30", "08:00")), ("No", "/start summary off"))
    return Answer(html, buttons=(times, more, (("‹ Back", "/start where"),)))


def _after_close(zone: ZoneInfo, today: dt.date) -> dt.time:
    """The time in a zone that is after the close on every day of a year, whichever has its summer time."""
    days = (today + dt.timedelta(weeks=week) for week in range(52))
    local = [dt.datetime.combine(day, _AFTER_CLOSE, EXCHANGE).astimezone(zone) for day in days]
    return max(local, key=lambda at: at.replace(tzinfo=None) - at.astimezone(EXCHANGE).replace(tzinfo=None)).time()


def done_page(context: EvaluationContext, names: Sequence[str], summary: str) -> Answer:
    """What is set now, and when alerts are evaluated next."""
    html = lines(
        bold("All set.") if names or summary else bold("Nothing is set yet."),
        f"Alerts: {', '.join(names) or 'none'}.",
        f"Time zone: {zone_label(context.zone.key)}.",
        f"Daily summary: {summary or 'off'}.",
        words.next_check(context),
    )
    quote = Html("Change it at any time: /alerts, /settings, /summary")
    row = (("Pin a live board", "/pin"), ("Compare now", "/compare"))
    return Answer(html, quote=quote, buttons=(row, (("My alerts", "/alerts"), ("‹ Back", "/start when"))))


def group_welcome(pair_words: str) -> Answer:
    """What a group gets that adds the bot."""
    html = lines(
        bold(f"This bot watches {pair_words} for this group: who leads, where money moves, what is being paid."),
        "Administrators choose what it tells; everybody may ask.",
    )
    return Answer(html, buttons=((("Set it up", "/start"), ("Compare", "/compare"), ("Help", "/help")),))
