"""The client: prepares an AWS account and an HTCondor pool for annexes, and starts annexes."""

PROGRAM = "annex-bootstrap"
"""The name of the command."""
