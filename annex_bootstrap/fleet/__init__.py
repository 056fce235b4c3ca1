"""Spot fleet files: what AWS offers, what it costs, and the file that condor_annex reads."""
