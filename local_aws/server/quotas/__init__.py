"""Service Quotas: the limits of vCPUs."""
