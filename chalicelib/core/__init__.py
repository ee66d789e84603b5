"""The pure heart: words, state machine, capacity plan, quantities, ids. No I/O, no clock, no randomness."""
