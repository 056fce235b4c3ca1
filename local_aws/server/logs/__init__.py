"""CloudWatch Logs: filter patterns."""
