"""Holds its place in the pool, idle, until the file that it is given is removed; ten minutes at most."""

import os
import sys
import time

open(sys.argv[1], "w").close()
until = time.monotonic() + 600
while os.path.exists(sys.argv[1]) and time.monotonic() < until:
    time.sleep(0.2)
