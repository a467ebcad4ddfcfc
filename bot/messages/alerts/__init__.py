"""Messages about alerts: cards, lists, edits, notices."""
