"""Commands people type and buttons they press."""
