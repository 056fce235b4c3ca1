"""EventBridge: schedules and permissions."""
