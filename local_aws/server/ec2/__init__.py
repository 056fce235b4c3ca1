"""EC2: machines, spot fleets, security groups, instance metadata."""
