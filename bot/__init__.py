"""A Telegram bot that compares small caps with large caps and sends alerts."""

__version__ = "0.2.0"
