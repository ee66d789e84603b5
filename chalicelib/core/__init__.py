"""The pure heart: words, state machine, capacity plan, quantities, ids. No boto3, no chalice, no clock, no randomness."""
