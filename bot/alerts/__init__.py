"""Alert rules and when they fire: pure functions of figures and state, without clock, storage or network."""
