"""Annexes: their leases, the IAM users who run them, and ending them."""
