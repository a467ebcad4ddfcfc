"""Who may use the bot, and who may change a group's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telegram.error import TelegramError

if TYPE_CHECKING:
    from telegram import Bot, Update

    from bot.config import Config

# Commands of an administrator who hides behind the group come from this id (Bot API documentation).
ANONYMOUS_ADMIN = 1087968824
_ADMINISTRATORS = ("creator", "administrator")


def is_allowed(config: Config, user_id: int, chat_id: int) -> bool:
    """Deny by default: the owner, listed people and listed chats; everybody only with mode "open"."""
    if config.access == "open":
        return True
    return user_id in config.users or chat_id in config.chats or user_id == config.owner


async def may_change(bot: Bot, update: Update) -> bool:
    """Whether the sender may change the chat's settings: anybody in private, administrators in groups.

    Asked of Telegram each time; if it cannot say, the answer is no.
    """
    chat, user, message = update.effective_chat, update.effective_user, update.effective_message
    if chat is None or user is None:
        return False
    if chat.type == "private":
        return True
    if user.id == ANONYMOUS_ADMIN:
        sender = message.sender_chat if message is not None else None
        return update.callback_query is None and sender is not None and sender.id == chat.id
    try:
        member = await bot.get_chat_member(chat.id, user.id)
    except TelegramError:
        return False
    return member.status in _ADMINISTRATORS
