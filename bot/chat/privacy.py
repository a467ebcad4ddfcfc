"""What is stored about a chat, all of it as a file, all of it gone: /privacy, /export, /forgetme."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bot.errors import BadInput
from bot.messages.common import Answer, Attachment
from bot.messages.html import bold, lines
from bot.services import OUTBOX_KEPT
from bot.services.chats import forget, stored_tables

if TYPE_CHECKING:
    from bot.chat.access import Ask
    from storage.chat_store import ExportedRow


_YES = "yes"
# What each table holds about a chat, in the words of /privacy.
STORED = {
    "chats": "this chat's id, kind and title, its settings",
    "alerts": "its alerts with who made them",
    "alert_states": "how they stand",
    "alert_events": "what fired",
    "summaries": "which summaries came",
    "outbox": "messages sent or waiting",
    "outage_chats": "of which missing data it was told",
    "halts": "until when Telegram wants nothing sent",
    "access": "that it was let in, and the name that asked",
}
_WORDS = {
    "chats": "settings",
    "alerts": "alerts",
    "alert_events": "events",
    "summaries": "summaries",
    "outbox": "messages",
}
_JSON = ("payload", "detail", "rule_json", "state", "inputs")  # columns that hold JSON


async def on_privacy(ask: Ask) -> Answer:
    """/privacy: what is stored, where, how long."""
    kept = ask.services.config.backup.keep
    backups = f", in nightly backups, kept {kept} days," if ask.services.config.backup.enabled else ""
    where = (
        f"in one file on the machine of this bot's owner{backups} and in copies that they make. The log "
        "there names a chat's id when something fails. Telegram carries the messages; the sources of data "
        "learn nothing of you."
    )
    long = (
        f"until you delete it; messages {OUTBOX_KEPT.days} days after they were sent, the numbers of updates "
        "a week."
    )
    paragraphs = (
        ("Stored", f"{'; '.join(STORED.values())}."),
        ("Not stored", "your questions, your other messages, who else is here."),
        ("Where", where),
        ("How long", long),
        ("Yours", "/export gives you all of it, /forgetme deletes it."),
    )
    html = lines(bold("Privacy"), *(bold(f"{title}: ") + words for title, words in paragraphs))
    return Answer(html, buttons=((("Export", "/export"), ("Delete", "/forgetme")),))


async def on_export(ask: Ask) -> Answer:
    """/export: everything stored about the chat, as a JSON file."""
    tables = await stored_tables(ask.services, ask.chat_id)
    if not tables:
        return Answer(lines(bold("Nothing is stored about this chat.")))
    content = {
        "chat": ask.chat_id,
        "at": f"{ask.now:%Y-%m-%dT%H:%M:%SZ}",
        "tables": {table: [_opened(row) for row in rows] for table, rows in tables.items()},
    }
    text = json.dumps(content, ensure_ascii=False, indent=1)
    name = f"chat-{abs(ask.chat_id)}-{ask.now:%Y-%m-%d}.json"
    html = lines(bold("Everything stored about this chat"), f"{_counted(tables)}.")
    return Answer(html, attachment=Attachment(name, text.encode()))


def _opened(row: ExportedRow) -> dict[str, object]:
    """A row whose JSON columns are read."""
    return {
        key: _parsed(value) if key in _JSON and isinstance(value, str) and value else value
        for key, value in row.items()
    }


def _parsed(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:  # a broken rule is exported as it stands
        return value


def _counted(tables: dict[str, list[ExportedRow]]) -> str:
    """The rows in words, e.g. "2 alerts, 1 event, 5 messages, 3 other rows"."""
    counts = [_number(len(tables[table]), words) for table, words in _WORDS.items() if table in tables]
    others = sum(len(rows) for table, rows in tables.items() if table not in _WORDS)
    return ", ".join([*counts, *([_number(others, "other rows")] if others else [])])


def _number(count: int, words: str) -> str:
    if words == "settings":
        return words
    singular = {"summaries": "summary"}.get(words, words.removesuffix("s"))
    return f"{count} {words if count != 1 else singular}"


async def on_forgetme(ask: Ask) -> Answer:
    """/forgetme: asks first; confirmed, all of the chat's rows go in one transaction."""
    if ask.text and ask.text.lower() != _YES:
        raise BadInput(f"“{ask.text[:40]}” is not understood; /forgetme asks before it deletes.", "/forgetme")
    tables = await stored_tables(ask.services, ask.chat_id)
    if not tables:
        return Answer(lines(bold("Nothing is stored about this chat.")))
    if not ask.text:
        html = lines(
            bold("Delete everything about this chat?"),
            f"{_counted(tables)}. This cannot be undone.",
            None
            if "access" not in tables
            else "That it was let in is deleted too: it would have to ask anew.",
        )
        return Answer(html, buttons=((("Delete everything", f"/forgetme {_YES}"), ("Keep it", "/privacy")),))
    await forget(ask.caller)
    kept = ask.services.config.backup.keep
    backups = (
        f"Backups hold it up to {kept} days longer; if the owner restores one, it is back."
        if ask.services.config.backup.enabled
        else None
    )
    return Answer(lines(bold("Deleted: ") + f"{_counted(tables)}.", backups))
