"""Tests against the built template on a local AWS."""
