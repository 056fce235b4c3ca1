"""Stacks: read, plan, stage, change, follow, delete."""
