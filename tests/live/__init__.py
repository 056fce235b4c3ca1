"""The whole life of a stack in a real account, as the people who use it: ``python -m tests.live``, or ``make live``."""
