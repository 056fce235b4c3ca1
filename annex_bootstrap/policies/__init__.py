"""The IAM policies that annex-bootstrap prints."""
