"""S3: permissions."""
