"""Filter patterns of CloudWatch Logs with several ``?terms``: a line needs one of them. MiniStack asks for all.

Source: "Match any terms" in https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

from collections.abc import Callable

from ministack.services import cloudwatch_logs

Matcher = Callable[[str], bool]


def install() -> None:
    """Extend MiniStack's CloudWatch Logs."""
    compile_pattern: Callable[[str], Matcher] = cloudwatch_logs._compile_filter_pattern

    def compile_with_alternatives(pattern: str) -> Matcher:
        terms = pattern.split()
        if not terms or not all(term.startswith("?") for term in terms):
            return compile_pattern(pattern)
        wanted = [term.removeprefix("?") for term in terms]
        return lambda message: any(term in message for term in wanted)

    cloudwatch_logs._compile_filter_pattern = compile_with_alternatives
