"""AWS at its worst: what it may do any day and hardly ever does, often and all at once. Only for tests.

`local_aws.launcher.Strictness` switches it on. All times are AWS's, divided by its speed.
"""
