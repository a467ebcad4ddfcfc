"""Plain rows in and out of one SQLite file; knows nothing of the bot."""
