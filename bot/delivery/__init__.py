"""Delivery: drain the outbox to Telegram so that no alert is lost and no summary repeated."""

from bot.delivery.drain import Delivery
from bot.delivery.outcome import DrainReport, ErrorClass, classify

__all__ = ["Delivery", "DrainReport", "ErrorClass", "classify"]
