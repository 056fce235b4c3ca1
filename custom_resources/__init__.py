"""The Lambda-backed custom resources: one module a resource, on the lifecycle that they share."""
