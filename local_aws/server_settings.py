"""The names of parameters in Parameter Store by which somebody outside steers the local AWS's machines.

``local_aws.server.ec2.scripts`` reads them.
"""

from __future__ import annotations

MACHINES = "/local-aws/machines"
"""What becomes of machines that run a script from their user data, and of images: a JSON object."""

CONSOLE = "/local-aws/console/"
"""With an instance ID: the console output of that machine, where somebody outside plays it."""
