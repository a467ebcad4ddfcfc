"""/admin, the owner's command: who may use the bot, figures, a backup, a message to every chat."""

import asyncio
import datetime as dt
import re
from collections.abc import Awaitable, Callable

from bot import __version__
from bot.analytics.market import Market
from bot.analytics.windows import parse_date
from bot.chat.access import Ask
from bot.errors import BadInput, BotError
from bot.messages.common import AS_NEW, Answer, Button, payload_of, provisional_notes
from bot.messages.html import Html, bold, code, lines
from bot.services import chats, provisional
from bot.text import counted, date_phrase, did_you_mean, short_date
from storage.backup import backup
from storage.chat_store import APPROVED, REJECTED, AccessRequest
from storage.database import StorageError
from storage.outbox import NewMessage

_ID = re.compile(r"-?[1-9][0-9]{0,15}")
_PEOPLE_SHOWN = 20  # of each kind
BY_HAND = "by-hand.db"  # without a date in its name, so that the nightly backup does not delete it
LONGEST = 3500  # characters of a broadcast
_BUTTONS = ((("People", "/admin people"), ("Stats", "/admin stats"), ("Backup", "/admin backup")),)


class BackupFailed(BotError):
    """The requested copy of the database could not be made."""


def changes(text: str) -> bool:
    """Return whether the words after /admin change anything, be it a message that waits to be sent."""
    return text.partition(" ")[0].lower() not in {"", "people", "stats", "accept"}


async def on_admin(ask: Ask) -> Answer:
    """/admin: the choices; people, approve ID, reject ID, stats, backup, broadcast TEXT."""
    word, _, rest = ask.text.partition(" ")
    action = ADMIN_ACTIONS.get(word.lower())
    if action is None:
        hint = did_you_mean(word, ADMIN_ACTIONS)
        raise BadInput(f"“{ask.text[:40]}” is not understood. {hint}".strip(), "/admin people")
    return await action(ask, rest.strip())


async def _show_choices(_ask: Ask, _words: str) -> Answer:
    html = lines(
        bold("Your bot"),
        "People: " + code("/admin people"),
        "Let somebody in, also before they ask: " + code("/admin approve 123456789"),
        "Figures that are held as implausible: " + code("/admin accept"),
        "A message to every chat: " + code("/admin broadcast The bot moves tonight."),
    )
    return Answer(html, buttons=_BUTTONS)


async def _show_people(ask: Ask, _: str) -> Answer:
    requests = await chats.list_access(ask.services, _PEOPLE_SHOWN)
    access = ask.services.config.access
    by_config = ", ".join(map(str, (*sorted(access.users), *sorted(access.chats))))
    html = lines(
        bold("Who may use the bot"),
        "Everybody but those rejected (mode open)." if access.mode == "open" else None,
        f"By the configuration: {by_config}." if by_config else None,
        *_request_lines("Waiting for you", requests["asked"]),
        *_request_lines("Let in by you", requests[APPROVED]),
        *_request_lines("Rejected", requests[REJECTED]),
        "Nobody has asked yet." if not any(requests.values()) else None,
    )
    rows: list[tuple[Button, ...]] = [
        *((_button("Approve", row), _button("Reject", row)) for row in requests["asked"]),
        *((_button("Take back", row, "reject"),) for row in requests[APPROVED]),
        *((_button("Let in", row, "approve"),) for row in requests[REJECTED]),
    ]
    return Answer(html, buttons=tuple(rows))


def _request_lines(title: str, requests: list[AccessRequest]) -> list[Html]:
    entries = (code(row.chat_id) + f" {_name(row)} · {row.decided_at or row.asked_at:%Y-%m-%d}" for row in requests)
    return [bold(title), *entries] if requests else []


def _name(row: AccessRequest) -> str:
    kind = "group " if row.chat_id < 0 else ""
    return f"{kind}{row.title[:64]}".strip() or "unnamed"


def _button(label: str, row: AccessRequest, action: str = "") -> Button:
    return f"{label}: {_name(row)[:24]}", f"/admin {action or label.lower()} {row.chat_id}"


async def _approve(ask: Ask, words: str) -> Answer:
    subject = _parse_id(words, "approve")
    html = lines(bold("The owner of this bot has let you in."), "What it can do: /start")
    welcome = payload_of(Answer(html, buttons=((("Begin", "/start"),),)), AS_NEW)
    notice = NewMessage(subject, None, "notice", f"welcome:{subject}:{ask.update_id}", welcome)
    request = await chats.approve(ask.caller, subject, notice)
    buttons = (("Take it back", f"/admin reject {subject}"), ("People", "/admin people"))
    return Answer(bold("Let in: ") + f"{_name(request)}, " + code(subject), buttons=(buttons,))


async def _reject(ask: Ask, words: str) -> Answer:
    subject = _parse_id(words, "reject")
    request = await chats.reject(ask.caller, subject)
    html = lines(
        bold("Not let in: ") + f"{_name(request)}, " + code(subject),
        "The bot neither answers nor sends anything there, and does not ask you again.",
    )
    return Answer(html, buttons=((("Let in", f"/admin approve {subject}"), ("People", "/admin people")),))


def _parse_id(words: str, action: str) -> int:
    if _ID.fullmatch(words):
        return int(words)
    sentence = f"“{words[:40]}” is not an id." if words else f"“{action}” needs an id after it."
    raise BadInput(sentence, f"/admin {action} 123456789")


async def _accept(ask: Ask, words: str) -> Answer:
    """List the provisional figures; with a fund, and maybe a session, show what accepting them would do."""
    if not words:
        return _list_provisional(await ask.services.markets.current())
    ticker, session = _parse_figures(ask, words)
    acceptance = await provisional.preview_acceptance(ask.caller, ticker, session)
    fires = "No alert would fire."
    if acceptance.fires:
        alerts, groups = counted(acceptance.fires, "alert"), counted(acceptance.chats, "chat")
        fires = f"{alerts} in {groups} would fire at the next check."
    html = lines(
        bold("Accept ") + f"{counted(acceptance.count, 'provisional figure')} of {ticker}"
        f"{f', {date_phrase(session)}' if session else ''}?",
        fires,
        *(f"#{number} " + code(rule) for number, rule in acceptance.own),
    )
    return Answer(html, buttons=((("Accept", f"/admin accepted {words}"), ("Leave it", "/admin accept")),))


def _list_provisional(market: Market) -> Answer:
    notes = provisional_notes(market.provisional)
    html = lines(bold("Provisional figures"), *(notes or ["None. Every stored figure is used."]))
    rows = []
    for figures in market.provisional:
        first = figures.amounts.index[0]
        if len(figures.amounts) == 1:
            label, day = f" of {short_date(first)}", f" {first:%Y-%m-%d}"
        else:
            label, day = "", ""
        rows.append(((f"Accept {figures.ticker}{label}", f"/admin accept {figures.ticker}{day}"),))
    return Answer(html, buttons=tuple(dict.fromkeys(rows)))


async def _accept_confirmed(ask: Ask, words: str) -> Answer:
    ticker, session = _parse_figures(ask, words)
    count = await provisional.accept_figures(ask.caller, ticker, session)
    accepted = f"{counted(count, 'figure')} of {ticker} {'is' if count == 1 else 'are'} used from now on."
    return Answer(bold("Accepted. ") + accepted, buttons=((("Status", "/status"), ("Compare", "/compare")),))


def _parse_figures(ask: Ask, words: str) -> tuple[str, dt.date | None]:
    ticker, _, day = words.upper().partition(" ")
    example = f"/admin accept {ask.services.pair.small.ticker} 2020-12-14"
    if ticker not in ask.services.pair.tickers:
        raise BadInput(f"“{ticker[:20]}” is not a fund of this bot.", example)
    return ticker, parse_date(day.strip(), example) if day else None


async def _show_stats(ask: Ask, _: str) -> Answer:
    counts, size = await chats.count_stored(ask.services)
    by_status = {
        name: ", ".join(f"{count:,} {status}" for status, count in group.items()) for name, group in counts.items()
    }
    html = lines(
        bold("Stats"),
        *(f"{name.capitalize()}: {statuses or 'none'}." for name, statuses in by_status.items()),
        f"Database: {size / 1e6:,.1f} MB. Version {__version__}.",
    )
    return Answer(html, buttons=((("Status", "/status"), ("People", "/admin people")),))


async def _make_backup(ask: Ask, _: str) -> Answer:
    """Make a verified copy beside the nightly ones, in place of the last one made by hand."""
    config = ask.services.config
    target = config.backups / BY_HAND
    try:
        config.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
        counts = await asyncio.to_thread(backup, config.storage.database, target)
    except OSError as error:
        raise BackupFailed(f"No copy was made in {config.backups} ({error.strerror}).") from error
    except StorageError as error:
        raise BackupFailed(f"No copy was made: {error}") from error
    html = lines(
        bold("The database was copied and the copy verified."),
        f"{sum(counts.values()):,} rows, {target.stat().st_size / 1e6:,.1f} MB: " + code(target.name),
        "It is in the folder of the backups; the next one made with this command replaces it.",
    )
    return Answer(html, buttons=_BUTTONS)


def _announcement(text: str) -> Html:
    return lines(bold("From the owner of this bot"), text)


async def _draft_broadcast(ask: Ask, text: str) -> Answer:
    if not text:
        raise BadInput("“broadcast” needs a text after it.", "/admin broadcast The bot moves tonight.")
    if len(text) > LONGEST:
        raise BadInput(f"{len(text):,} characters are too many; at most {LONGEST:,}.")
    count = await chats.draft_broadcast(ask.caller, ask.update_id, text)
    html = lines(_announcement(text), "", f"This goes to {counted(count, 'chat')}.")
    return Answer(html, buttons=((("Send", f"/admin send {ask.update_id}"), ("Leave it", "/admin")),))


async def _send_broadcast(ask: Ask, words: str) -> Answer:
    """Queue the message for every chat, once. `words` is the id of the update that brought it."""
    draft_id = _parse_id(words, "send")
    count = await chats.send_broadcast(
        ask.caller, draft_id, lambda text: payload_of(Answer(_announcement(text)), AS_NEW)
    )
    if count is None:
        raise BadInput("That message was sent already, or a newer one has replaced it.")
    return Answer(bold(f"On its way to {counted(count, 'chat')}."))


ADMIN_ACTIONS: dict[str, Callable[[Ask, str], Awaitable[Answer]]] = {
    "": _show_choices,
    "people": _show_people,
    "approve": _approve,
    "reject": _reject,
    "revoke": _reject,
    "stats": _show_stats,
    "backup": _make_backup,
    "broadcast": _draft_broadcast,
    "send": _send_broadcast,
    "accept": _accept,
    "accepted": _accept_confirmed,
}
