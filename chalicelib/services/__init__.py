"""Use cases, one verb a function. Each takes the ports first; the caller's `Call` second where somebody called."""
