"""Lambda handlers that are not HTTP. Each parses its event and calls services; what triggers them is in `infra/`."""
