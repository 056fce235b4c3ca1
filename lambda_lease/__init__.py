"""The lease function: ends an annex when its time is up."""
