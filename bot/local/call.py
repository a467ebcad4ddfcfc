"""One request to the Bot API, read as strictly as Telegram reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.local.rules import Refused, check_text
from bot.rendering.text import CAPTION_LIMIT, MESSAGE_LIMIT, strip_html

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telegram.request import RequestData


@dataclass(frozen=True)
class Call:
    """The parameters of a request, and its uploads as part name -> (file name, bytes)."""

    values: Mapping[str, Any]
    uploads: Mapping[str, tuple[str, bytes]]

    @classmethod
    def read(cls, data: RequestData | None) -> Call:
        """The call within a request of python-telegram-bot."""
        if data is None:
            return cls({}, {})
        uploads = {}
        for part, (name, content, *_) in data.multipart_data.items():
            uploads[part] = (name, content if isinstance(content, bytes) else content.read())
        return cls(data.parameters, uploads)

    @property
    def markup(self) -> dict[str, Any] | None:
        """The inline keyboard; None without one (other kinds of keyboard are no part of a message)."""
        markup = self.values.get("reply_markup")
        return markup if markup and markup.get("inline_keyboard") else None


def text(values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Content and raw text of a message; Refused when it is empty, too long or broken."""
    raw, html = str(values.get("text", "")), values.get("parse_mode") == "HTML"
    check_text(raw, html, MESSAGE_LIMIT, "message")
    shown = strip_html(raw) if html else raw
    if not shown.strip():
        raise Refused("message text is empty")
    return {"text": shown}, raw


def caption(values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Content and raw caption of a picture or file; there need be none."""
    raw, html = str(values.get("caption", "")), values.get("parse_mode") == "HTML"
    check_text(raw, html, CAPTION_LIMIT, "message caption")
    return {"caption": strip_html(raw) if html else raw} if raw else {}, raw
