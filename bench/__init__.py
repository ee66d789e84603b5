"""The project's numbers, measured side by side in one run: `make bench`. See `__main__` for what it prints."""
