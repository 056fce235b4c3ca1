"""Tags that people give a stack: its parameters hold them, and all that it and its functions make has them. Pure.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions,
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html, which allows fewer characters, and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from annex_contract.stack import Parameter

PARAMETERS = (Parameter.TAG_1, Parameter.TAG_2, Parameter.TAG_3, Parameter.TAG_4, Parameter.TAG_5, Parameter.TAG_6)
"""The parameters, each with one ``KEY=VALUE`` or empty. A template cannot make a list of tags of one text."""

VARIABLE = "TAGS"
"""The environment variable with which a custom resource's function knows them, with commas between them."""

RESERVED = ("aws:", "annex-bootstrap:", "htcondor:")
"""How the keys begin that AWS, the stack and HTCondor use, in any case of letters: for IAM it makes no difference."""

NAME = "Name"
"""The tag that names the annex, or the builder, in EC2's console."""


def read_tags(texts: Iterable[str]) -> dict[str, str]:
    """Read ``KEY=VALUE``, as the template lets somebody type it; empty ones are none."""
    return {key: value for key, equals, value in (text.partition("=") for text in texts) if equals}


def tags_of_stack(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a stack.

    Args:
        parameters: their values, by name.
    """
    return read_tags(parameters.get(name, "") for name in PARAMETERS)
