"""Pages: the answer to each command."""
