"""One send budget for everything the bot sends: replies first, alerts next, summaries last."""

from bot.ratelimit.limiter import PUSH_PATIENCE, Held, SendBudget, seconds_of
from bot.ratelimit.limits import ALERT, NOTICE, REPLY, SUMMARY, Budget, Rate, Window

__all__ = [
    "ALERT",
    "NOTICE",
    "PUSH_PATIENCE",
    "REPLY",
    "SUMMARY",
    "Budget",
    "Held",
    "Rate",
    "SendBudget",
    "Window",
    "seconds_of",
]
