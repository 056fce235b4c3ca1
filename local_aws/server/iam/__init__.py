"""IAM: enforcement, and what MiniStack's IAM lacks."""
