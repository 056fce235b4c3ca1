"""The connectivity function: tells condor_annex whether AWS can reach the collector, and which one it is."""
