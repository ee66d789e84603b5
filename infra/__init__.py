"""What is deployed beside Chalice's template: tables and templates that CloudFormation and the sandbox both read."""
