"""Delivery: drain the outbox to Telegram so that no alert is lost and no summary repeated."""

from bot.delivery.drain import Delivery
from bot.delivery.ledger import DrainReport
from bot.delivery.verdicts import ErrorClass, classify

__all__ = ["Delivery", "DrainReport", "ErrorClass", "classify"]
