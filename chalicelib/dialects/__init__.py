"""The voices. Each dialect parses its own wire format, calls the services, and renders the answer in its own words."""
