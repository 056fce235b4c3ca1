"""The names of parameters in Parameter Store by which somebody outside steers the local AWS.

``local_aws.server.ec2.scripts`` and ``local_aws.server.account`` read them.
"""

from __future__ import annotations

MACHINES = "/local-aws/machines"
"""What becomes of machines that run a script from their user data, and of images: a JSON object."""

CONSOLE = "/local-aws/console/"
"""With an instance ID: the console output of that machine, where somebody outside plays it."""

ACCOUNT = "/local-aws/account"
"""What kind of account it is, and what its organisation forbids: a JSON object, in the default region.

``local_aws.server.account`` reads it.
"""
