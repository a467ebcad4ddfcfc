"""Telegram bot that compares IWM with SPY and alerts when that changes."""

__version__ = "0.2.0"
