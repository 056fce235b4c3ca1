"""The master template. Read it as a table of contents."""

from __future__ import annotations

import json

from troposphere import GetAtt, If, Ref, Sub, Template
from troposphere.awslambda import Function, Permission
from troposphere.cloudwatch import Alarm, MetricDimension
from troposphere.ec2 import KeyPair
from troposphere.events import Rule, Target
from troposphere.iam import ManagedPolicy
from troposphere.sns import Subscription, Topic

from annex_contract import __version__
from annex_contract.iam import document
from annex_contract.resources import BUCKET, FLEET_ROLE, INSTANCE_ROLE, SECURITY_GROUP, Attribute
from annex_contract.stack import ROLE_PATH, LogicalId, Output
from lambda_lease import settings
from template_gen import names, policies
from template_gen.custom import add_custom_resources, get
from template_gen.functions import CONNECTIVITY_SOURCES, LEASE_SOURCES, add_function
from template_gen.outputs import add_outputs
from template_gen.parameters import add_parameters

LEASE_TIMEOUT = 240
"""Seconds for one tick: less than the five minutes to the next one, and enough to end thousands of machines."""

CONNECTIVITY_TIMEOUT = 60
"""Seconds: longer than the timeout in any event (condor_annex sends 5)."""


def build() -> Template:
    """Return the whole template."""
    template = Template(
        f"annex-bootstrap {__version__}: prepares this account and region for HTCondor's condor_annex. "
        "Creates a private bucket, roles, a security group and a function that ends each annex when its lease expires."
    )
    template.set_version()
    add_parameters(template)
    add_custom_resources(template)
    lease = _add_lease_function(template)
    _add_alarm(template, lease)
    connectivity = add_function(
        template,
        LogicalId.CONNECTIVITY_FUNCTION,
        "annex-bootstrap: tells condor_annex whether AWS can reach the pool",
        CONNECTIVITY_SOURCES,
        [],
        timeout=CONNECTIVITY_TIMEOUT,
    )
    user_policy = template.add_resource(
        ManagedPolicy(
            LogicalId.ANNEX_USER_POLICY,
            Path=ROLE_PATH,
            Description="What condor_annex needs to start, list, extend and end annexes",
            PolicyDocument=document(
                policies.annex_user(
                    GetAtt(lease, "Arn"),
                    GetAtt(connectivity, "Arn"),
                    get(INSTANCE_ROLE, Attribute.ROLE_ARN),
                    get(FLEET_ROLE, Attribute.ROLE_ARN),
                )
            ),
        )
    )
    key_pair = template.add_resource(
        KeyPair("AnnexKeyPair", Condition="WantsKeyPair", KeyName=Sub("annex-bootstrap-${U}", U=names.UNIQUE))
    )
    add_outputs(
        template,
        {
            Output.S3_BUCKET_NAME: get(BUCKET, Attribute.BUCKET_NAME),
            Output.LEASE_FUNCTION_ARN: GetAtt(lease, "Arn"),
            Output.CONNECTIVITY_FUNCTION_ARN: GetAtt(connectivity, "Arn"),
            Output.INSTANCE_CONFIGURATION_PROFILE: get(INSTANCE_ROLE, Attribute.PROFILE_ARN),
            Output.INSTANCE_ROLE_ARN: get(INSTANCE_ROLE, Attribute.ROLE_ARN),
            Output.IAM_FLEET_ROLE_ARN: get(FLEET_ROLE, Attribute.ROLE_ARN),
            Output.SECURITY_GROUP_ID: get(SECURITY_GROUP, Attribute.GROUP_ID),
            Output.ANNEX_USER_POLICY_ARN: Ref(user_policy),
            Output.VERSION: __version__,
            Output.KEY_PAIR_NAME: Ref(key_pair),
        },
    )
    return template


def _add_lease_function(template: Template) -> Function:
    lease = add_function(
        template,
        LogicalId.LEASE_FUNCTION,
        "annex-bootstrap: ends an annex when its lease expires",
        LEASE_SOURCES,
        policies.lease(get(INSTANCE_ROLE, Attribute.PROFILE_ARN)),
        timeout=LEASE_TIMEOUT,
        environment={
            settings.BUCKET_NAME: get(BUCKET, Attribute.BUCKET_NAME),
            settings.CONFIG_KEY_PATTERN: Ref("ConfigKeyPattern"),
            settings.INSTANCE_PROFILE_ARN: get(INSTANCE_ROLE, Attribute.PROFILE_ARN),
            settings.END_ORPHANS: Ref("EndOrphans"),
            "POWERTOOLS_LOG_LEVEL": "INFO",
            "POWERTOOLS_SERVICE_NAME": "annex-bootstrap",
            "POWERTOOLS_METRICS_NAMESPACE": "AnnexBootstrap",
        },
    )
    # condor_annex names the rules, so any rule of this account and region may call.
    template.add_resource(
        Permission(
            "LeasePermission",
            Action="lambda:InvokeFunction",
            FunctionName=Ref(lease),
            Principal="events.amazonaws.com",
            SourceAccount=Ref("AWS::AccountId"),
            SourceArn=names.arn("events", "rule/*"),
        )
    )
    template.add_resource(
        Rule(
            LogicalId.SWEEP_RULE,
            Description="annex-bootstrap: checks every hour for annex machines without a lease",
            ScheduleExpression="rate(1 hour)",
            Targets=[Target(Id="sweep", Arn=GetAtt(lease, "Arn"), Input=json.dumps(settings.SWEEP_EVENT))],
        )
    )
    return lease


def _add_alarm(template: Template, lease: Function) -> None:
    topic = template.add_resource(
        Topic(
            "AlarmTopic",
            Condition="HasEmail",
            DisplayName="annex-bootstrap",
            Subscription=[Subscription(Protocol="email", Endpoint=Ref("NotificationEmail"))],
        )
    )
    template.add_resource(
        Alarm(
            LogicalId.LEASE_ALARM,
            AlarmDescription="The lease function failed: machines may still be running and costing money. "
            "See the log of the lease function.",
            Namespace="AWS/Lambda",
            MetricName="Errors",
            Dimensions=[MetricDimension(Name="FunctionName", Value=Ref(lease))],
            Statistic="Sum",
            Period=300,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData="notBreaching",
            AlarmActions=If("HasEmail", [Ref(topic)], Ref("AWS::NoValue")),
        )
    )
