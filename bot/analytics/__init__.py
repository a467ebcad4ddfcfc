"""Pure metrics of IWM against SPY: pandas in, pandas out; no clock, no I/O."""
