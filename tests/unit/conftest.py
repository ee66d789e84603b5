"""Unit tests say what they find, not what the workers log. A test of metrics or logs switches them on for itself."""

from __future__ import annotations

import logging
import os

from chalicelib.observe import logger

os.environ.setdefault("POWERTOOLS_METRICS_DISABLED", "true")
logger().setLevel(logging.CRITICAL)
