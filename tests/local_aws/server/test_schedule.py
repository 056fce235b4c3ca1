"""EventBridge's schedules, faster than real time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.local_aws.server.principals import Server

if TYPE_CHECKING:
    pass


def test_a_rule_of_one_minute_fires_at_the_chosen_speed(server: Server) -> None:
    sqs, events = server.client("sqs"), server.client("events")
    queue = sqs.create_queue(QueueName="ticks")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="lab", ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule="lab", Targets=[{"Id": "lab", "Arn": arn, "Input": '{"AnnexID": "lab"}'}])
    # The queue answers as soon as a message arrives; at MiniStack's own speed none would within 20 seconds.
    answer = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)
    assert [json.loads(message["Body"]) for message in answer["Messages"][:1]] == [{"AnnexID": "lab"}]
