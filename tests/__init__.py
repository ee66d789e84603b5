"""Tests of all rooms, by what they cost: unit, aws, sandbox, e2e."""
