"""Telegram bot that compares IWM with SPY and alerts when that changes."""
