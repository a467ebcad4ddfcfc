"""Numbers into text, tables and pictures."""
