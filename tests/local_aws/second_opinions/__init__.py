"""Opinions of others on what the local AWS exchanges and decides."""
