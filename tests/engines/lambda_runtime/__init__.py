"""The functions in Lambda's own runtime, as near as one can have it without an account."""
