"""Our own modules in place of a library's that the lease function would load at every cold start and never use.

Compiling them was more than half of a cold start, most of it for ``typing_extensions``. Each has just the names that
the modules around it import; a test runs the function's own tests with them.
"""

from __future__ import annotations

from collections.abc import Mapping

POWERTOOLS: Mapping[str, str] = {
    "aws_lambda_powertools/__init__.py": (
        '"""annex-bootstrap\'s own, without the tracer, and without a name for Powertools in the SDK\'s requests."""\n'
    ),
    "aws_lambda_powertools/utilities/jmespath_utils/__init__.py": (
        '"""annex-bootstrap\'s own: no correlation ID is looked for in an event, so neither is JMESPath needed."""\n'
    ),
    "aws_lambda_powertools/logging/buffer/__init__.py": '"""annex-bootstrap\'s own: no log line is held back."""\n',
    "aws_lambda_powertools/logging/buffer/cache.py": (
        '"""annex-bootstrap\'s own: no log line is held back."""\nLoggerBufferCache = None\n'
    ),
    "aws_lambda_powertools/logging/buffer/functions.py": (
        '"""annex-bootstrap\'s own: no log line is held back."""\n'
        "_check_minimum_buffer_log_level = _create_buffer_record = None\n"
    ),
    "aws_lambda_powertools/metrics/__init__.py": (
        '"""annex-bootstrap\'s own, without single and ephemeral metrics."""\n'
        "from aws_lambda_powertools.metrics.metrics import Metrics\n"
        "from aws_lambda_powertools.metrics.provider.cloudwatch_emf.metric_properties import MetricUnit\n"
    ),
    "aws_lambda_powertools/metrics/base.py": (
        '"""annex-bootstrap\'s own: a metric for the cold start alone is not asked for."""\nsingle_metric = None\n'
    ),
}
"""The text of each, by its path in the archive."""
