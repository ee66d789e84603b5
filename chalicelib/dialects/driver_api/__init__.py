"""`/driver/v1`: how a driver's bootstrap talks to the control plane, with a secret that is good for its run alone."""
