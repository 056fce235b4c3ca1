"""Tags that people give their machines: what EC2 takes, and what a machine's metadata service can show. Pure.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from annex_bootstrap.errors import CommandLineError
from annex_contract.tags import NAME, PARAMETERS, RESERVED

MOST_TAGS = 40
"""Tags of a resource that people may give: EC2 takes 50, and a machine has some already."""

_KEY = re.compile(r"[\w+=.,:@-]{1,128}")
_VALUE = re.compile(r"[\w +=.:/@-]{0,256}")


def parse_tags(texts: Iterable[str]) -> dict[str, str]:
    """Read tags such as ``cost-center=42``.

    Raises:
        CommandLineError: one is none, or AWS or the stack do not take it.
    """
    tags: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise CommandLineError(f"{text!r} is not a tag: give KEY=VALUE, such as cost-center=42")
        if key.lower().startswith(RESERVED) or key == NAME:
            raise CommandLineError(
                f"the tag {key} is not free: keys that begin with {', '.join(RESERVED)} and {NAME} are set"
            )
        # EC2 shows a machine its tags by their keys, as a part of a path.
        if not _KEY.fullmatch(key) or key in (".", "..", "_index"):
            raise CommandLineError(
                f"{key!r} cannot be the key of a machine's tag: use at most 128 letters, digits and + - = . , _ : @"
            )
        if not _VALUE.fullmatch(value):
            raise CommandLineError(
                f"{value!r} cannot be the value of the tag {key}: use at most 256 letters, digits, blanks and "
                "+ - = . _ : / @"
            )
        if tags.setdefault(key, value) != value:
            raise CommandLineError(f"the tag {key} is given twice: {tags[key]!r} and {value!r}")
    if len(tags) > MOST_TAGS:
        raise CommandLineError(f"{len(tags)} tags are too many: give at most {MOST_TAGS}")
    return tags


def tag_parameters(texts: Iterable[str]) -> dict[str, str]:
    """Return the parameters that give a stack tags such as ``cost-center=42``; none where no tag is given.

    Raises:
        CommandLineError: one is none, AWS or the stack do not take it, or they are too many.
    """
    tags = parse_tags(texts)
    if not tags:
        return {}
    for key, value in tags.items():
        # IAM takes no comma, and a template cannot read a value with a second equals sign.
        if "," in f"{key}{value}" or "=" in f"{key}{value}":
            raise CommandLineError(f"the tag {key}={value} of a stack has a comma or a second =: give another value")
    if len(tags) > len(PARAMETERS):
        raise CommandLineError(f"{len(tags)} tags are too many for a stack: give at most {len(PARAMETERS)}")
    given = [f"{key}={value}" for key, value in tags.items()]
    return dict(zip(PARAMETERS, [*given, *[""] * (len(PARAMETERS) - len(given))], strict=True))
