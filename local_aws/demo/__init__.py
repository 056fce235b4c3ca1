"""The demo: its walkthrough, annexes as condor_annex starts them, and an inventory of what is left."""
