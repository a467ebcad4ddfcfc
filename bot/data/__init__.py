"""Data sources in, a Market out."""
