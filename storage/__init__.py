"""Reading and writing rows of one SQLite file. This package knows nothing of the bot."""
