"""Machines that follow the queue: what waits, what a machine would offer, and what to start for it."""
