"""IBM Analytics Engine v4 (seed 002): `/v4/analytics_engines/{instance_id}/…` and `/icp4d-api/v1/authorize`."""
