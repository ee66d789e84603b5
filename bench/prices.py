"""List prices in US dollars, region us-east-1, without free tiers. The one place where a price stands."""

from __future__ import annotations

AS_OF = "2025-11"

DYNAMODB_WRITE_UNIT = 0.625 / 1e6  # on demand, standard table
DYNAMODB_READ_UNIT = 0.125 / 1e6
LAMBDA_REQUEST = 0.20 / 1e6
LAMBDA_GB_SECOND = 0.0000166667  # x86, first tier
STEP_FUNCTIONS_TRANSITION = 0.025 / 1e3  # standard workflows
API_GATEWAY_REQUEST = 3.50 / 1e6  # REST API, first tier
S3_WRITE = 0.005 / 1e3  # PUT, COPY, POST, LIST
S3_READ = 0.0004 / 1e3
LOGS_GB = 0.50  # ingestion
"""DynamoDB streams read by Lambda, and AWS services' own events on the default bus, are free."""
