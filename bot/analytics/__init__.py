"""Pure metrics of the small fund against the large one: pandas in, pandas out; no clock, no I/O."""
