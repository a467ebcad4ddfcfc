"""/start: first contact in three steps by taps. What was chosen so far is what is stored.

/start                      what the bot does, and the first step: alerts
/start add PRESET|all       make the alerts of presets
/start where|region|zone    the second step: the time zone
/start when|summary TIME    the third step: the daily summary
/start done                 what is set
/start alert_RULE           from a link: the guide with that rule, whose spaces are underscores
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from zoneinfo import ZoneInfo

from bot.alerts.presets import name_of, presets_for
from bot.analytics.metrics import METRICS
from bot.chat.access import Ask
from bot.chat.alert_commands import guide_page
from bot.chat.settings import SETTINGS
from bot.errors import BadInput
from bot.messages.alerts.card import lacking, preset_rule
from bot.messages.alerts.words import alert_name
from bot.messages.common import Answer
from bot.messages.html import lines
from bot.messages.pages import start
from bot.services import alert_views, alerts, chats
from bot.text import clock_time

_LINK = "alert_"  # t.me/NAME_OF_THE_BOT?start=alert_ratio_above_sma_200


def changes_start(text: str) -> bool:
    """Return whether the words after /start are a step, which changes something or leads on to what does."""
    return text.split(" ", maxsplit=1)[0].lower() in _STEPS


async def on_start(ask: Ask) -> Answer:
    """/start: a step of first contact. A chat that had blocked the bot is reactivated unless it was rejected."""
    step, _, words = ask.text.partition(" ")
    if (handler := _STEPS.get(step.lower())) is not None:
        return await handler(ask, words.strip().lower())
    await chats.start(ask.caller)
    answer = await _first_page(ask)
    if not step.lower().startswith(_LINK):
        return answer
    context = await alert_views.evaluation_context(ask.caller)
    rule = step[len(_LINK) :].replace("_", " ")
    for name in METRICS:  # some have underscores of their own
        rule = re.sub(rf"^{name.replace('_', ' ')}\b", name, rule)
    try:
        return await asyncio.to_thread(guide_page, rule, context, ask.now)
    except BadInput as error:
        return replace(answer, html=lines(f"The rule of this link cannot be read: {error.sentence}", answer.html))


async def _first_page(ask: Ask) -> Answer:
    listed, _, context = await alert_views.list_alerts(ask.caller)

    def make() -> Answer:
        rules = {preset: preset_rule(preset, context) for preset in presets_for(context.market)}
        presets = {
            preset: alerts.preview(rule, context, ask.now)[1]
            for preset, rule in rules.items()
            if not lacking(rule, context)
        }
        return start.start_page(context, presets, {name_of(alert.rule, context.market) for alert in listed})

    return await asyncio.to_thread(make)


async def _add(ask: Ask, name: str) -> Answer:
    """Create the alert of a preset, or of all that can be evaluated and are none yet."""
    listed, _, context = await alert_views.list_alerts(ask.caller)
    chosen = {name_of(alert.rule, context.market) for alert in listed}
    for preset in presets_for(context.market):
        is_wanted = name in {"all", preset.name.lower()} and preset.name not in chosen
        if is_wanted and not await asyncio.to_thread(lacking, preset_rule(preset, context), context):
            await alerts.create(ask.caller, preset.rule)
    return await _where(ask, "") if name == "all" else await _first_page(ask)


async def _where(ask: Ask, _: str) -> Answer:
    return start.zones_page(ZoneInfo(ask.settings.zone), ask.now)


async def _region(ask: Ask, words: str) -> Answer:
    region, _, page = words.title().partition(" ")
    return start.region_page(region, int(page) if page.isdecimal() else 1, ask.now)


async def _zone(ask: Ask, words: str) -> Answer:
    zone = SETTINGS["zone"].parse(words)
    await chats.set_time_zone(ask.caller, zone)
    return start.summary_step(ZoneInfo(zone), ask.now, is_set=True)


async def _when(ask: Ask, _: str) -> Answer:
    return start.summary_step(ZoneInfo(ask.settings.zone), ask.now, is_set=False)


async def _summary(ask: Ask, time: str) -> Answer:
    if time == "off":
        await chats.unsubscribe(ask.caller)
    elif (clock := clock_time(time)) is not None:
        await chats.subscribe(ask.caller, clock, "daily")
    else:
        raise BadInput(f"“{time}” is not a time of day such as 18:30 or 6:30pm.", "/start when")
    return await _done(ask, "")


async def _done(ask: Ask, _: str) -> Answer:
    chat = await chats.stored_chat(ask.services, ask.chat_id)
    listed, _unreadable, context = await alert_views.list_alerts(ask.caller)
    names = [alert_name(alert, context.market) for alert in listed]
    summary = f"{chat.summary_at}" if chat is not None and chat.summary_at else ""
    return await asyncio.to_thread(partial(start.done_page, context, names, summary))


_STEPS: dict[str, Callable[[Ask, str], Awaitable[Answer]]] = {
    "add": _add,
    "where": _where,
    "region": _region,
    "zone": _zone,
    "when": _when,
    "summary": _summary,
    "done": _done,
}
