"""What an alert rule is and when it fires: pure functions."""
