"""Tests of core and services with fakes: no I/O."""
