"""Telegram in this process: a strict Bot API, python-telegram-bot's transport, and a chat in the terminal."""
