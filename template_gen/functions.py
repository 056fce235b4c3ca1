"""One Lambda function as one unit: the function, its own role and its own log group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from troposphere import AWSHelperFn, GetAtt, If, Ref, Sub, Template
from troposphere.awslambda import Code, Environment, Function, LoggingConfig
from troposphere.iam import Policy, Role, RolePolicy
from troposphere.logs import LogGroup

from annex_contract import __version__
from annex_contract.iam import Statement, document, trust
from annex_contract.stack import Parameter, Part, stack_path
from template_gen import names, policies, stand_ins
from template_gen.archive import CRHELPER, POWERTOOLS, Archive, inline_code
from template_gen.findings import Finding, leave

RUNTIME = "python3.13"
ARCHITECTURE = "arm64"

MEMORY = 256
"""MB for every function: the code alone peaks at 80, and Lambda's runtime comes on top of it."""

POLICY = "Policy"
"""The variable that names the policy of a function's role, so that CloudFormation makes the policy first."""

IMAGE_FILES = "machine_image/files"
"""What the builder's script writes into the image."""

CUSTOM_RESOURCES = Archive(
    "CustomResources",
    (
        "annex_contract",
        *("annex_contract.iam", "annex_contract.image", "annex_contract.keys", "annex_contract.lease"),
        "annex_contract.machine_policies",
        *("annex_contract.operating_system", "annex_contract.ownership", "annex_contract.resources"),
        *("annex_contract.stack", "annex_contract.tags"),
        "custom_resources.*",
        "machine_image.*",
    ),
    libraries=CRHELPER,
    data=(IMAGE_FILES,),
)
"""What the functions of all custom resources have in common: their code. What each may do is its role's."""

LEASE = Archive(
    "Lease",
    (
        "annex_contract",
        *("annex_contract.image", "annex_contract.lease", "annex_contract.limits", "annex_contract.prices"),
        *("annex_contract.resources", "annex_contract.stack", "annex_contract.statuses"),
        "lambda_lease.*",
    ),
    libraries=POWERTOOLS,
    stand_ins=stand_ins.POWERTOOLS,
)

CONNECTIVITY = Archive("Connectivity", ("lambda_connectivity.*",))

ARCHIVES = (CUSTOM_RESOURCES, LEASE, CONNECTIVITY)


def add_function(
    template: Template,
    title: str,
    description: str,
    archive: Archive,
    module: str,
    statements: list[Statement],
    *,
    timeout: int,
    memory: int = MEMORY,
    environment: Mapping[str, Any] | None = None,
    policy_name: str | AWSHelperFn = "function",
    condition: str | None = None,
    answers: bool = False,
    statements_in_role: bool = False,
    reserved: If | None = None,
) -> Function:
    """Add a function with its role and its log group.

    Args:
        template: where to.
        title: the function's logical ID; the role's and the log group's derive from it.
        description: what a person reads in the console.
        archive: holds its code.
        module: the dotted name of the module whose ``handler`` is called.
        statements: what it may do, besides writing its own log.
        timeout: seconds it may run.
        memory: MB it gets.
        environment: its variables.
        policy_name: of its role's policy. Where an input names what the function may touch, that name belongs here:
            a policy of another name is another resource, so an update that renames the thing leaves the old policy
            in force until CloudFormation has had the old thing deleted.
        condition: the condition under which the stack has all of this; the role and its policy only where no
            administrator made them.
        answers: whether it must answer CloudFormation also when it cannot be loaded.
        statements_in_role: whether its role comes with the statements, so that the function waits for no policy. Then
            they must not refer to what the stack makes. They go with the role, and so after the function; what goes
            before it is the right to write its log alone, which refers to the log group.
        reserved: how many of the account's concurrent executions are its alone; None for none.

    Returns:
        The function.
    """
    conditional = {"Condition": condition} if condition else {}
    with_roles = {"Condition": "MakesImageAndRoles" if condition == "MakesImage" else "MakesRoles"}
    logs = template.add_resource(
        LogGroup(
            Part.LOGS.of(title),
            **conditional,
            KmsKeyId=If("HasKmsKey", Ref(Parameter.KMS_KEY_ARN), Ref("AWS::NoValue")),
            RetentionInDays=Ref(Parameter.LOG_RETENTION_DAYS),
        )
    )
    with_role = {"Policies": [Policy(PolicyName=title, PolicyDocument=names.made(document(statements)))]}
    role = template.add_resource(
        Role(
            Part.ROLE.of(title),
            **with_roles,
            **(with_role if statements_in_role else {}),
            Path=Sub(stack_path("${AWS::StackName}")),
            Description=f"Assumed by the function: {description}",
            PermissionsBoundary=boundary(),
            AssumeRolePolicyDocument=document([trust("lambda.amazonaws.com", "AssumedByLambda")]),
        )
    )
    policy = template.add_resource(
        RolePolicy(
            Part.POLICY.of(title),
            **with_roles,
            RoleName=Ref(role),
            PolicyName=policy_name if isinstance(policy_name, str) else names.made(policy_name),
            PolicyDocument=names.made(
                document([policies.write_logs(GetAtt(logs, "Arn")), *([] if statements_in_role else statements)])
            ),
        )
    )
    if environment and not statements_in_role:
        # Created before the function and deleted after it, where there is one. DependsOn could not name what there is
        # under a condition only.
        environment = {**environment, POLICY: If("MakesRoles", Ref(policy), "")}
    extra: dict[str, Any] = {"Environment": Environment(Variables=dict(environment))} if environment else {}
    findings = [Finding.NO_DEAD_LETTER_QUEUE, Finding.NO_VPC]
    if reserved is None:
        findings.append(Finding.NO_RESERVED_CONCURRENCY)
    else:
        extra["ReservedConcurrentExecutions"] = reserved
    if environment:
        findings.append(Finding.ENVIRONMENT_WITHOUT_KEY)
    return template.add_resource(
        Function(
            title,
            Metadata=leave(*findings),
            Description=description,
            Runtime=RUNTIME,
            Architectures=[ARCHITECTURE],
            Handler="index.handler",
            Code=Code(ZipFile=inline_code(archive, module, __version__, answers=answers)),
            Role=If("MakesRoles", GetAtt(role, "Arn"), names.given_role_arn(role.title)),
            Timeout=timeout,
            MemorySize=memory,
            LoggingConfig=LoggingConfig(LogGroup=Ref(logs)),
            **extra,
            **conditional,
        )
    )


def boundary() -> If:
    """Return the permissions boundary of every role, if one is asked for."""
    return If("HasBoundary", Ref(Parameter.PERMISSIONS_BOUNDARY_ARN), Ref("AWS::NoValue"))
