"""Providers, imports and exports of data, and the Market built from what is stored."""
