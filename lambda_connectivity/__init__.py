"""The connectivity function: reports to condor_annex whether AWS can reach the collector, and which collector it is."""
