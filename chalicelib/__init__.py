"""Sparkplane's product code: everything that is deployed. The rooms and their arrows are in the README of `docs/`."""
