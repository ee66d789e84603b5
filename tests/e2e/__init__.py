"""The whole sandbox as a process, with a real Spark and real clients."""
