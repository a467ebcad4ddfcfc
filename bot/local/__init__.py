"""Telegram in this process: a Bot API, python-telegram-bot's transport, and a chat in the terminal."""
