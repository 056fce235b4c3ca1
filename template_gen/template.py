"""The master template. Read it as a table of contents."""

from __future__ import annotations

import json
from typing import Any

from troposphere import GetAtt, If, Join, Ref, Split, Sub, Template
from troposphere.awslambda import Function, Permission
from troposphere.cloudwatch import Alarm, MetricDimension
from troposphere.ec2 import KeyPair
from troposphere.events import Rule, Target
from troposphere.iam import ManagedPolicy, RolePolicy
from troposphere.sns import Subscription, Topic

from annex_contract import __version__, limits
from annex_contract.iam import document
from annex_contract.image import MACHINE_TYPES
from annex_contract.lease import SWEEP_EVENT, SWEEP_RATE
from annex_contract.resources import BUCKET, FLEET_ROLE, IMAGE, INSTANCE_ROLE, SECURITY_GROUP, START_ROLE, Attribute
from annex_contract.stack import ROLE_PATH, LogicalId, Output, Parameter, Part, sweep_rule_name
from lambda_connectivity.handler import IN_VPC
from lambda_lease import settings
from template_gen import names, policies, starting
from template_gen.archive import add_archives
from template_gen.custom import add_custom_resources, get
from template_gen.findings import Finding, leave
from template_gen.functions import ARCHIVES, CONNECTIVITY, LEASE, POLICY, add_function
from template_gen.outputs import add_outputs
from template_gen.parameters import add_parameters
from template_gen.text import render

LEASE_TIMEOUT = 240
"""Seconds for one tick: less than the five minutes to the next one, and enough to end thousands of machines."""

HOUR = 3600

SILENT_HOURS = 3
"""Hours without any call of the lease function after which an alarm is raised."""

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
    add_archives(template, ARCHIVES)
    add_custom_resources(template)
    lease = _add_lease_function(template)
    _add_alarms(template, lease)
    connectivity = add_function(
        template,
        LogicalId.CONNECTIVITY_FUNCTION,
        "annex-bootstrap: tells condor_annex whether AWS can reach the pool",
        CONNECTIVITY,
        "lambda_connectivity.handler",
        [],
        timeout=CONNECTIVITY_TIMEOUT,
    )
    _put_into_vpc(template, connectivity)
    image = If("MakesImage", get(IMAGE, Attribute.IMAGE_ID), Ref(Parameter.IMAGE))
    user_policy = template.add_resource(
        ManagedPolicy(
            LogicalId.ANNEX_USER_POLICY,
            Condition="MakesRoles",
            Path=ROLE_PATH,
            # Another description would replace the policy, and take it from every user that has it:
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-managedpolicy.html
            Description="What condor_annex needs to start, see, extend and end annexes",
            PolicyDocument=names.made(
                document(
                    policies.annex_user(
                        GetAtt(lease, "Arn"),
                        GetAtt(connectivity, "Arn"),
                        get(INSTANCE_ROLE, Attribute.ROLE_ARN),
                        get(INSTANCE_ROLE, Attribute.PROFILE_ARN),
                        get(FLEET_ROLE, Attribute.ROLE_ARN),
                        get(SECURITY_GROUP, Attribute.GROUP_ID),
                        get(SECURITY_GROUP, Attribute.VPC_ID),
                        image,
                    )
                )
            ),
        )
    )
    starting.add_launch_template(template)
    starting.add_policy(template, lease, connectivity)
    starting.add_role(template)
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
            Output.ANNEX_USER_POLICY_ARN: If("MakesRoles", Ref(user_policy), names.given_policy_arn(user_policy.title)),
            Output.VERSION: __version__,
            Output.KEY_PAIR_NAME: Ref(key_pair),
            Output.IMAGE_ID: image,
            Output.INSTANCE_TYPE: If(
                "HasInstanceType",
                Ref(Parameter.INSTANCE_TYPE),
                If("MakesImageForArm", MACHINE_TYPES["arm64"], MACHINE_TYPES["amd64"]),
            ),
            Output.LAUNCH_TEMPLATE_ID: Ref(LogicalId.LAUNCH_TEMPLATE),
            # A change of the template makes a version and leaves the default one as it was.
            Output.LAUNCH_TEMPLATE_VERSION: GetAtt(LogicalId.LAUNCH_TEMPLATE, "LatestVersionNumber"),
            Output.START_POLICY_ARN: If(
                "MakesImageAndRoles", Ref(LogicalId.START_POLICY), names.given_policy_arn(LogicalId.START_POLICY)
            ),
            Output.ANNEX_USER_ROLE_ARN: If(
                "MakesUserRole",
                GetAtt(LogicalId.ANNEX_USER_ROLE, "Arn"),
                names.given_role_arn(LogicalId.ANNEX_USER_ROLE),
            ),
            Output.START_INSTANCE_PROFILE: get(START_ROLE, Attribute.PROFILE_ARN),
            Output.START_ROLE_ID: get(START_ROLE, Attribute.ROLE_ID),
        },
    )
    return template


def build_text() -> str:
    """Return the text of the whole template, as ``dist/`` has it."""
    return render(build().to_dict()) + "\n"


def _put_into_vpc(template: Template, function: Function) -> None:
    """Let the connectivity function run in the stack's subnets where a parameter says so.

    Lambda deletes its network interfaces within 20 minutes, with the rights that the role then has. CloudFormation
    waits for that only where it deletes a function. So the function has another name there: an update to or from it
    replaces the function, and the rights, which its environment refers to, are taken away after it is gone. Sources:
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html and
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-vpcconfig.html
    """
    network = template.add_resource(
        RolePolicy(
            Part.NETWORK.of(function.title),
            Condition="MakesConnectivityNetwork",
            RoleName=Ref(Part.ROLE.of(function.title)),
            PolicyName="network",
            PolicyDocument=names.made(document(policies.network())),
        )
    )

    def inside(value: Any) -> If:
        return If("HasConnectivityVpc", value, Ref("AWS::NoValue"))

    function.FunctionName = inside(Sub(f"${{AWS::StackName}}-{function.title}-vpc"))
    # The machines' group: whatever lets them reach the pool lets the function reach it.
    function.VpcConfig = inside(
        {
            "SubnetIds": Split(",", Join(",", Ref(Parameter.SUBNET_IDS))),
            "SecurityGroupIds": [get(SECURITY_GROUP, Attribute.GROUP_ID)],
        }
    )
    function.Environment = inside(
        {"Variables": {IN_VPC: "yes", POLICY: If("MakesConnectivityNetwork", Ref(network), "")}}
    )
    findings = (Finding.NO_DEAD_LETTER_QUEUE, Finding.NO_RESERVED_CONCURRENCY)
    # cfn-lint tries the default of SubnetIds, which is no subnet: with it, deploy refuses to put the function there.
    function.Metadata = {**leave(*findings), "cfn-lint": {"config": {"ignore_checks": ["W1033"]}}}


def _add_lease_function(template: Template) -> Function:
    # The sweep's rule takes a minute to create, and so is what a stack without an image waits for. Its function waits
    # for its role alone, and knows the bucket and the profiles by their names.
    instance_profile, start_profile = (
        names.role_arn(name, kind="instance-profile") for name in (names.INSTANCE_ROLE, names.START_ROLE)
    )
    lease = add_function(
        template,
        LogicalId.LEASE_FUNCTION,
        "annex-bootstrap: ends an annex when its lease expires",
        LEASE,
        "lambda_lease.handler",
        policies.lease([instance_profile, start_profile]),
        timeout=LEASE_TIMEOUT,
        environment={
            settings.BUCKET_NAME: names.BUCKET,
            settings.CONFIG_KEY_PATTERN: Ref(Parameter.CONFIG_KEY_PATTERN),
            settings.INSTANCE_PROFILE_ARN: instance_profile,
            settings.START_PROFILE_ARN: start_profile,
            settings.STACK_ID: Ref("AWS::StackId"),
            settings.END_ORPHANS: Ref(Parameter.END_ORPHANS),
            settings.MAX_LEASE_HOURS: Ref(Parameter.MAX_LEASE_HOURS),
            **{name: Ref(name) for name in limits.PARAMETERS},
            "POWERTOOLS_LOG_LEVEL": "INFO",
            "POWERTOOLS_SERVICE_NAME": "annex-bootstrap",
            "POWERTOOLS_METRICS_NAMESPACE": "AnnexBootstrap",
        },
        statements_in_role=True,
        reserved=If("HasReservedConcurrency", Ref(Parameter.RESERVED_CONCURRENCY), Ref("AWS::NoValue")),
    )
    # condor_annex names the rules, so any rule of this account and region may call. The ARN names the account already,
    # and a SourceAccount beside it would keep EventBridge from calling at all, without a word:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html
    template.add_resource(
        Permission(
            LogicalId.LEASE_PERMISSION,
            Action="lambda:InvokeFunction",
            FunctionName=Ref(lease),
            Principal="events.amazonaws.com",
            SourceArn=names.arn("events", "rule/*"),
        )
    )
    template.add_resource(
        Rule(
            LogicalId.SWEEP_RULE,
            Name=Sub(sweep_rule_name("${AWS::StackName}")),
            Description="annex-bootstrap: checks every hour for annex machines without a lease",
            ScheduleExpression=SWEEP_RATE,
            Targets=[Target(Id="sweep", Arn=GetAtt(lease, "Arn"), Input=json.dumps(SWEEP_EVENT))],
        )
    )
    return lease


def _add_alarms(template: Template, lease: Function) -> None:
    topic = template.add_resource(
        Topic(
            LogicalId.ALARM_TOPIC,
            Condition="HasEmail",
            KmsMasterKeyId=If("HasKmsKey", Ref(Parameter.KMS_KEY_ARN), Ref("AWS::NoValue")),
            DisplayName="annex-bootstrap",
            Subscription=[Subscription(Protocol="email", Endpoint=Ref(Parameter.NOTIFICATION_EMAIL))],
        )
    )
    mail = If("HasEmail", [Ref(topic)], Ref("AWS::NoValue"))
    of_lease = MetricDimension(Name="FunctionName", Value=Ref(lease))
    of_sweep = MetricDimension(Name="RuleName", Value=Sub(sweep_rule_name("${AWS::StackName}")))

    def add_alarm(title: str, description: str, namespace: str, metric: str, **more: Any) -> None:
        counted = {"Namespace": namespace, "MetricName": metric, "Statistic": "Sum", "Threshold": 1}
        template.add_resource(Alarm(title, AlarmDescription=description, **counted, **more))

    add_alarm(
        LogicalId.LEASE_ALARM,
        "The lease function failed, so machines may still be running and costing money, or it ended machines beyond "
        "the stack's limits, such as MaxLeaseHours or MaxCores. See its log.",
        "AWS/Lambda",
        "Errors",
        Dimensions=[of_lease],
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Period=300,
        EvaluationPeriods=1,
        TreatMissingData="notBreaching",
        AlarmActions=mail,
    )
    add_alarm(
        LogicalId.THROTTLE_ALARM,
        "AWS did not let the lease function run: the account's executions are used up. Annexes may end late.",
        "AWS/Lambda",
        "Throttles",
        Dimensions=[of_lease],
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Period=300,
        EvaluationPeriods=1,
        TreatMissingData="notBreaching",
        AlarmActions=mail,
    )
    # EventBridge counts here what a permission refused, and sends the metric only when it is not zero, so creation
    # cannot raise this alarm: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html and
    # https://repost.aws/knowledge-center/eventbridge-rule-fails-to-invoke-target. SuccessfulInvocationAttempts would
    # be the reverse, but has been seen without its dimension RuleName; an alarm on a metric that is not there, raised
    # by missing data, would mail at once and never end.
    add_alarm(
        LogicalId.SWEEP_ALARM,
        "EventBridge cannot call the lease function: leases may not end, and machines cost money. "
        "Run annex-bootstrap doctor.",
        "AWS/Events",
        "FailedInvocations",
        Dimensions=[of_sweep],
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Period=HOUR,
        EvaluationPeriods=1,
        TreatMissingData="notBreaching",
        AlarmActions=mail,
    )
    # The sweep calls the function every hour. An alarm begins in INSUFFICIENT_DATA and acts only on changes of state,
    # so this one is quiet until the first sweep, and mails when the calls stop after that:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
    add_alarm(
        LogicalId.SILENCE_ALARM,
        "Nothing has called the lease function for hours, although the orphan check should call it every hour. "
        "Run annex-bootstrap doctor.",
        "AWS/Lambda",
        "Invocations",
        Dimensions=[of_lease],
        ComparisonOperator="LessThanThreshold",
        Period=HOUR,
        EvaluationPeriods=SILENT_HOURS,
        TreatMissingData="missing",
        InsufficientDataActions=mail,
    )
