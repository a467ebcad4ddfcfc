"""Metrics of the small fund against the large one: pure functions on pandas data, without clock or I/O."""
