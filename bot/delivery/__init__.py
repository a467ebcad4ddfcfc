"""Delivery: messages of the outbox are sent to Telegram so that no alert is lost and no summary repeated."""
