"""Measurements, each beside something of the same kind: ``python -m benchmarks`` writes docs/performance.md anew."""
