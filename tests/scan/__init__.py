"""A scanner of templates that organisations run, on the built one: ``make scan``."""
