"""/privacy, /export and /forgetme: what is stored about a chat, all of it as a file, deleting it."""

import json
from contextlib import suppress

from bot.chat.access import Ask
from bot.errors import BadInput
from bot.messages.common import Answer, Attachment
from bot.messages.html import bold, capital, lines
from bot.services import EVENTS_KEPT, OUTBOX_KEPT
from bot.services.chats import forget, stored_tables
from bot.text import counted, load_toml
from storage.chat_store import ExportedRow

_YES = "yes"
STORED: dict[str, str] = load_toml("bot.chat", "stored.toml")
# What a row is called, in the tables whose rows are counted by name.
_COUNTED = {"alerts": "alert", "alert_events": "event", "summaries": "summary", "outbox": "message"}
_JSON = ("payload", "detail", "rule_json", "state", "inputs")  # columns that hold JSON


async def on_privacy(ask: Ask) -> Answer:
    """/privacy: what is stored, where, how long."""
    config = ask.services.config
    backups = f", in nightly backups, kept {config.backup.keep} days," if config.backup.enabled else ""
    history = f"{config.storage.database.name}.history"
    html = lines(
        bold("Privacy"),
        bold("Stored: ") + f"{'; '.join(STORED.values())}.",
        bold("Not stored: ") + "your questions, your other messages, who else is here. Only the terminal on "
        f"the machine of this bot's owner keeps what is typed there, in {history}.",
        bold("Where: ") + f"in one file on that machine{backups} and in copies that the owner makes. The log "
        "there names a chat's id when something fails. Telegram carries the messages; the sources of data "
        "learn nothing about you.",
        bold("How long: ") + f"until you delete it; messages for {OUTBOX_KEPT.days} days after they were sent, "
        f"what alerts did for {EVENTS_KEPT.days // 365} years, the ids of Telegram's updates for a week.",
        bold("Yours: ") + "/export gives you all of it, /forgetme deletes it.",
    )
    return Answer(html, buttons=((("Export", "/export"), ("Delete", "/forgetme")),))


async def on_export(ask: Ask) -> Answer:
    """/export: everything stored about the chat, as a JSON file."""
    tables = await stored_tables(ask.services, ask.chat_id)
    if not tables:
        return Answer(lines(bold("Nothing is stored about this chat.")))
    content = {
        "chat": ask.chat_id,
        "at": f"{ask.now:%Y-%m-%dT%H:%M:%SZ}",
        "tables": {table: [_with_parsed_json(row) for row in rows] for table, rows in tables.items()},
    }
    text = json.dumps(content, ensure_ascii=False, indent=1)
    name = f"chat-{abs(ask.chat_id)}-{ask.now:%Y-%m-%d}.json"
    html = lines(bold("Everything stored about this chat"), f"{capital(_describe(tables))}.")
    return Answer(html, attachment=Attachment(name, text.encode()))


def _with_parsed_json(row: ExportedRow) -> dict[str, object]:
    parsed: dict[str, object] = dict(row)
    for key, value in row.items():
        if key in _JSON and isinstance(value, str):
            with suppress(ValueError):  # a broken rule is exported as it stands
                parsed[key] = json.loads(value)
    return parsed


def _describe(tables: dict[str, list[ExportedRow]]) -> str:
    """Return the numbers of rows in words, e.g. "settings, 2 alerts, 1 event, 5 messages, 3 other rows"."""
    parts = ["settings"] if "chats" in tables else []
    parts += [counted(len(tables[table]), noun) for table, noun in _COUNTED.items() if table in tables]
    others = sum(len(rows) for table, rows in tables.items() if table not in _COUNTED and table != "chats")
    if others:
        parts.append(counted(others, "other row"))
    return ", ".join(parts)


def deletes(text: str) -> bool:
    """Return whether the words after /forgetme delete what is stored."""
    return text.lower() == _YES


async def on_forgetme(ask: Ask) -> Answer:
    """/forgetme: ask, whatever is typed; its button deletes all of the chat's rows in one transaction."""
    if ask.text and not deletes(ask.text):
        raise BadInput(f"“{ask.text[:40]}” is not understood; /forgetme asks before it deletes.", "/forgetme")
    tables = await stored_tables(ask.services, ask.chat_id)
    if not tables:
        return Answer(lines(bold("Nothing is stored about this chat.")))
    if not (ask.is_pressed and deletes(ask.text)):
        html = lines(
            bold("Delete everything about this chat?"),
            f"{capital(_describe(tables))}. This cannot be undone.",
            "Its access is deleted too: it would have to ask again." if "access" in tables else None,
        )
        return Answer(html, buttons=((("Delete everything", f"/forgetme {_YES}"), ("Keep it", "/privacy")),))
    await forget(ask.caller)
    config = ask.services.config.backup
    backups = f"Backups hold it up to {config.keep} days longer; if the owner restores one, it is back."
    return Answer(lines(bold("Deleted: ") + f"{_describe(tables)}.", backups if config.enabled else None))
