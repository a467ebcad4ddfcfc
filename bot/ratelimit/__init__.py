"""One send budget for everything the bot sends: replies first, then alerts, then summaries."""

from bot.ratelimit.limiter import PUSH_PATIENCE, SendBudget, SendPostponed, seconds_of
from bot.ratelimit.limits import ALERT, NOTICE, REPLY, SUMMARY, Budget, LeakyBucket, SlidingWindow

__all__ = [
    "ALERT",
    "NOTICE",
    "PUSH_PATIENCE",
    "REPLY",
    "SUMMARY",
    "Budget",
    "LeakyBucket",
    "SendBudget",
    "SendPostponed",
    "SlidingWindow",
    "seconds_of",
]
