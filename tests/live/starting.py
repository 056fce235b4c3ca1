"""Parts 0 to 9 of a live test: what people do with ``annex-bootstrap start``, the cheapest and least certain first."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import boto3
from botocore.exceptions import ClientError

from annex_bootstrap.annexes.planning import make_plan
from annex_bootstrap.annexes.requests import Annex
from annex_bootstrap.aws import explained
from annex_bootstrap.machines.capacity import Capacity
from annex_bootstrap.policies.boundary import boundary
from annex_bootstrap.policies.deployer import deployer_policy
from annex_bootstrap.policies.operator import operator_policy
from annex_bootstrap.stack.read import events, find_deployed
from annex_contract.boundaries import Holder
from annex_contract.image import IMAGE_TAG
from annex_contract.lease import MACHINE_RUNNING, MACHINES_PREFIX, Lease
from annex_contract.stack import ANNEX_TAG, REQUEST_TAG, SPOT_ROLE, STACK_TAG, STARTED_BY_TAG, Output
from custom_resources import image as image_resource
from custom_resources.image_parts import find_image
from custom_resources.lifecycle import PATIENCE, NotYetError, Request, error_code
from tests.live.harness import LiveError, Run, invoke, refusal
from tests.live.options import CORES, ENDING, IDLE_MINUTES, STACK
from tests.live.questions import POLICY, QUESTIONS
from tests.local_aws.commands import fake_htcondor

ONE, CHOSEN, MARKET = "live-start", "live-cores", "live-market"
"""The annexes: one machine, machines of types that AWS chooses, spot."""

IMAGE = f"annex-bootstrap-{STACK}"
"""With a number, the name of an image that is made to be deleted."""

BOOTING = 900
"""Seconds until a machine has surely booted, or ended."""

CLOUDTRAIL = 900
"""Seconds by which CloudTrail may be late:
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html"""


def check_for_free(run: Run) -> None:
    """Part 0, before anything exists: what AWS thinks of the policies and the template."""
    with run.step("ValidatePolicy") as step:
        if run.is_aws:
            step.notes += _validate(run)
    with run.step("SimulateCustomPolicy") as step:
        if run.is_aws:
            _simulate(run)
            step.notes.append(f"{len(QUESTIONS)} answers as expected")
    with run.step("a change set that is not executed"):
        run.command(run.options.deployer, "deploy", "--dry-run", "--config", str(run.config), *_parameters(run, "no"))


def _validate(run: Run) -> list[str]:
    """Return what AWS remarks on our policies.

    Raises:
        LiveError: it found an error.
    """
    partition, account = run.deployer.partition, run.deployer.account_id
    documents = {
        "deployer": deployer_policy(partition, account, STACK, run.boundary(Holder.ROLES)),
        "operator": operator_policy(partition, account, STACK, run.boundary(Holder.USERS)),
        "start": POLICY,
        **{
            f"boundary of {holder}": boundary(partition, account, holder, STACK, condor_annex=holder is Holder.ROLES)
            for holder in Holder
        },
    }
    analyzer = run.auditor.session.client("accessanalyzer", region_name=run.region)
    remarks: list[str] = []
    errors: list[str] = []
    for name, text in documents.items():
        found = analyzer.validate_policy(policyDocument=json.dumps(text), policyType="IDENTITY_POLICY")["findings"]
        for finding in found:
            where = errors if finding["findingType"] == "ERROR" else remarks
            where.append(f"{name}: {finding['findingType']} {finding['issueCode']}")
    if errors:
        raise LiveError("; ".join(errors))
    return sorted(set(remarks))


def _simulate(run: Run) -> None:
    iam, wrong = run.auditor.iam, []
    for question in QUESTIONS:
        said = iam.simulate_custom_policy(
            PolicyInputList=[json.dumps(POLICY)],
            ActionNames=[question.action],
            ResourceArns=[question.resource],
            ContextEntries=[
                {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
                for key, value in question.context.items()
            ],
        )["EvaluationResults"][0]["EvalDecision"]
        if (said == "allowed") != question.allowed:
            wrong.append(f"{question.what}: {said}")
    if wrong:
        raise LiveError("; ".join(wrong))


def deploy(run: Run) -> None:
    """Parts 1 and 2: the stack without an image, its functions, then its image."""
    if _has_spot_role(run):
        run.spot_role = "the account had the role before"
    config = ("--yes", "--config", str(run.config))
    with run.step("deploy") as step:
        run.command(run.options.deployer, "deploy", *config, *_parameters(run, "no"))
        step.notes.append(run.status())
    with run.step("the functions run") as step:
        outputs = run.outputs()
        later = Lease(ONE, outputs[Output.S3_BUCKET_NAME], int(time.time()) + 86400)
        waits = invoke(run.operator.session, outputs[Output.LEASE_FUNCTION_ARN], later.event())
        event = {"timeout": 5, "condor_host": "192.0.2.1", "condor_port": 9618}
        nobody = invoke(run.operator.session, outputs[Output.CONNECTIVITY_FUNCTION_ARN], event)
        if waits.get("decision") != "wait" or nobody.get("success") != "0":
            raise LiveError(f"the functions say {waits} and {nobody}")
        found = run.operator.lambda_.get_function_configuration(FunctionName=outputs[Output.LEASE_FUNCTION_ARN])
        step.notes.append(f"{found['Runtime']} on {', '.join(found['Architectures'])}")
    with run.step("update") as step:
        run.command(run.options.deployer, "deploy", *config, "--param", "CondorPort=9619")
        step.notes.append(run.status())
    with run.step("image") as step:
        run.command(run.options.deployer, "deploy", *config, "--param", "Image=yes")
        step.notes.append(run.status())
        run.creation = _creation(run)
    with run.step("the image is built") as step:
        said = run.command(run.options.deployer, "image", "status", "--output", "json")
        step.notes.append(f"HTCondor {json.loads(said)['result']['image']['htcondor']}")


def _parameters(run: Run, image: str) -> list[str]:
    asked = {"EndOrphans": "yes", "SshCidrs": "", "CondorCidrs": "192.0.2.0/24", "Image": image}
    asked["PermissionsBoundaryArn"] = run.boundary(Holder.ROLES)
    return [text for name, value in asked.items() for text in ("--param", f"{name}={value}")]


def _creation(run: Run) -> dict[str, float]:
    """Return how long the slowest resource of each type took to be created."""
    began: dict[str, datetime] = {}
    slowest: dict[str, float] = {}
    for event in events(run.deployer.cloudformation, STACK):
        if event.status == "CREATE_IN_PROGRESS":
            began.setdefault(event.resource, event.at)
        elif event.status == "CREATE_COMPLETE" and event.resource in began:
            seconds = (event.at - began[event.resource]).total_seconds()
            slowest[event.resource_type] = max(seconds, slowest.get(event.resource_type, 0.0))
    return slowest


def start(run: Run) -> None:
    """Take the rest of part 0, and parts 3 to 9, as a user with StartPolicy only."""
    if not run.options.pool:
        tools = run.home / "htcondor"
        tools.mkdir()
        fake_htcondor.install(tools)
        run.starter_path = f"{tools}:/usr/local/bin:/usr/bin:/bin"
    with run.step("a user with StartPolicy only"):
        stack = find_deployed(run.deployer, STACK)
        run.starter_keys.access.parent.mkdir()
        run.starter_user().set_up(stack.stack_id, stack.outputs[Output.START_POLICY_ARN])
    _ask_only(run)
    _start_one(run)
    _use_one(run)
    _start_cores(run)
    _repeat(run)
    _start_spot(run)
    _delete_images(run)
    if run.options.isolated_subnet:
        _see_isolated(run)
    if run.options.default_key:
        _see_key(run)


def _ask_only(run: Run) -> None:
    account, outputs = run.starter_account(), run.outputs()
    template: Any = {
        "LaunchTemplateId": outputs[Output.LAUNCH_TEMPLATE_ID],
        "Version": outputs[Output.LAUNCH_TEMPLATE_VERSION],
    }
    own = {ANNEX_TAG: ONE, STARTED_BY_TAG: account.caller}

    def launch(tags: Mapping[str, str]) -> object:
        listed: Any = [{"Key": key, "Value": value} for key, value in tags.items()]
        return account.ec2.run_instances(
            LaunchTemplate=template,
            InstanceType=run.options.instance_type,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": kind, "Tags": listed} for kind in ("instance", "volume")],
            DryRun=True,
        )

    with run.step("dry run of RunInstances") as step:
        # Its key is new, and so a refusal may not be final.
        run.patiently("describing machines", lambda: account.ec2.describe_instances(MaxResults=5))
        run.wait(lambda: refusal(partial(launch, own)) == "DryRunOperation", "a dry run that is allowed", 120)
        foreign = refusal(partial(launch, {STARTED_BY_TAG: account.caller}))
        if foreign != "UnauthorizedOperation":
            raise LiveError(f"without an annex's tag it answers {foreign or 'machines'}")
        step.notes.append("DryRunOperation; UnauthorizedOperation without an annex's tag")
    with run.step("dry run of CreateFleet") as step:
        fleet: Any = _request(run, ONE)
        answer = refusal(lambda: account.fleets.create_fleet(**fleet, DryRun=True))
        if answer != "DryRunOperation":
            raise LiveError(f"it answers {answer or 'machines'}")
        step.notes.append(answer)


def _request(run: Run, annex: str) -> Mapping[str, Any]:
    """Return the arguments of CreateFleet for one more machine of an annex."""
    account = run.starter_account()
    wanted = Annex(annex, run.options.owner, IDLE_MINUTES * 60, int(time.time()) + 3600)
    plan = make_plan(
        account, find_deployed(account, STACK), wanted, Capacity(count=1, types=(run.options.instance_type,))
    )
    return plan.request.fleet


def _start(run: Run, annex: str, *options: str) -> dict[str, Any]:
    """Run ``start`` as the user with StartPolicy, and return its result."""
    pool = ["--collector", run.options.collector] if run.options.collector else []
    if not run.options.pool:
        pool = ["--skip-pool-check"]
    common = ("--duration", "1h", "--idle", f"{IDLE_MINUTES}m", "--owner", run.options.owner, "--output", "json")
    said = run.by_starter("start", annex, *options, *common, *pool, *(() if "--dry-run" in options else ("--yes",)))
    result: dict[str, Any] = json.loads(said)["result"]
    return result


def _machines(run: Run, tag: str, value: str, states: Sequence[str] = MACHINE_RUNNING) -> list[Any]:
    """Return machines with a tag, as the auditor sees them."""
    filters: Any = [{"Name": f"tag:{tag}", "Values": [value]}, {"Name": "instance-state-name", "Values": [*states]}]
    pages = run.auditor.ec2.get_paginator("describe_instances").paginate(Filters=filters)
    return [machine for page in pages for held in page["Reservations"] for machine in held["Instances"]]


def _start_one(run: Run) -> None:
    with run.step("start one machine") as step:
        result = _start(run, ONE, "--count", "1", "--type", run.options.instance_type)
        run.wait(lambda: len(_machines(run, ANNEX_TAG, ONE)) == 1, "the machine", 60)
        step.notes.append(f"{result['machines_by_type']}, request {result['request']}")
    with run.step("its volume is encrypted") as step:
        step.notes.append(f"with {_key_of(run, ONE)}")


def _key_of(run: Run, annex: str) -> str:
    """Return the key of the volumes of an annex's machines.

    Raises:
        LiveError: a volume is not encrypted, or there is none.
    """
    filters: Any = [{"Name": f"tag:{ANNEX_TAG}", "Values": [annex]}]
    volumes = run.auditor.ec2.describe_volumes(Filters=filters)["Volumes"]
    if not volumes or not all(volume["Encrypted"] for volume in volumes):
        raise LiveError(f"volumes of {annex}: {[(each['VolumeId'], each['Encrypted']) for each in volumes]}")
    return ", ".join(sorted({volume.get("KmsKeyId", "a key that is not named") for volume in volumes}))


def _use_one(run: Run) -> None:
    no_pool = "" if run.options.pool else "there is no pool"
    with run.step("it joins and runs a job", no_pool):
        if run.is_aws and run.options.pool:
            _run_job(run)
    with run.step("it powers off when it is idle") as step:
        if run.is_aws:
            began = time.monotonic()
            limit = BOOTING + IDLE_MINUTES * 60
            run.wait(lambda: not _machines(run, ANNEX_TAG, ONE), "its end", limit)
            step.notes.append(f"after {time.monotonic() - began:.0f} s")
    with run.step("its lease ends"):
        _end(run, ONE)
        bucket, prefix = run.outputs()[Output.S3_BUCKET_NAME], f"{MACHINES_PREFIX}{ONE}/"
        listed = run.auditor.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        if listed:
            raise LiveError(f"the bucket still has {[entry['Key'] for entry in listed]}")


def _run_job(run: Run) -> None:
    """Have the pool run one job on the annex.

    Raises:
        LiveError: HTCondor refused it, or it did not end.
    """
    log, file = run.home / "live.log", run.home / "live.sub"
    file.write_text(
        f'executable = /bin/hostname\ntransfer_executable = false\nlog = {log}\n+TargetAnnexName = "{ONE}"\nqueue\n'
    )
    for command in (["condor_submit", str(file)], ["condor_wait", "-wait", str(BOOTING), str(log)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LiveError(f"{command[0]} exited with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")


def _end(run: Run, annex: str) -> None:
    """End an annex as its user does, and wait until neither machine nor rule of it is left."""
    run.by_starter("leases", "end", annex, "--yes")
    run.wait(lambda: not _machines(run, ANNEX_TAG, annex), f"the end of {annex}", ENDING)
    run.wait(lambda: run.has_no_rule(annex), f"the end of the rule {annex}", ENDING)


def _start_cores(run: Run) -> None:
    with run.step("start --cores") as step:
        wanted = ("--cores", str(CORES))
        shown = _start(run, CHOSEN, *wanted, "--dry-run")["plans"][0]
        began = _start(run, CHOSEN, *wanted)
        run.wait(lambda: len(_machines(run, REQUEST_TAG, began["request"])) == began["started"], "its machines", 60)
        machines = _machines(run, REQUEST_TAG, began["request"])
        doubts = [
            f"{what} {machine[member]} was not in the preview"
            for what, member, known in (("type", "InstanceType", "types"), ("subnet", "SubnetId", "subnets"))
            for machine in machines
            if machine[member] not in shown[known]
        ]
        least, most = shown["machines_least"], shown["machines_most"]
        if not least <= began["started"] <= most:
            doubts.append(f"{began['started']} machines, where the preview said {least} to {most}")
        if doubts:
            raise LiveError("; ".join(doubts))
        subnets = len(shown["subnets"])
        step.notes.append(f"{began['machines_by_type']} of {len(shown['types'])} types, in {subnets} subnets")


def _repeat(run: Run) -> None:
    with run.step("the same request again") as step:
        account, fleet = run.starter_account(), _request(run, CHOSEN)
        with explained("creating a fleet twice"):
            first, second = (account.fleets.create_fleet(**fleet) for _ in range(2))
        one, two = (sorted(_ids(answer)) for answer in (first, second))
        run.wait(lambda: bool(_machines(run, REQUEST_TAG, fleet["ClientToken"])), "its machine", 60)
        started = _machines(run, REQUEST_TAG, fleet["ClientToken"])
        if len(started) != 1 or len(one) != 1:
            raise LiveError(f"{len(started)} machines run; the answers name {one} and {two}")
        same = "the same fleet" if first["FleetId"] == second["FleetId"] else "another fleet"
        told = "with its machine" if one == two else f"with {', '.join(two) or 'no machine'}"
        seen = f"{same}, {told}"
        step.notes.append(seen)
        run.facts["The answer to a repeated CreateFleet"] = seen
        _end(run, CHOSEN)


def _ids(answer: Any) -> list[str]:
    return [machine for launched in answer.get("Instances", []) for machine in launched["InstanceIds"]]


def _start_spot(run: Run) -> None:
    with run.step("the spot role comes with the stack", run.spot_role):
        if not _has_spot_role(run):
            raise LiveError(f"there is no {SPOT_ROLE}")
    with run.step("start --spot") as step:
        result = _start(run, MARKET, "--count", "1", "--type", run.options.instance_type, "--spot")
        step.notes.append(f"{result['machines_by_type']}")


def _has_spot_role(run: Run) -> bool:
    try:
        run.auditor.iam.get_role(RoleName=SPOT_ROLE)
    except run.auditor.iam.exceptions.NoSuchEntityException:
        return False
    return True


def _delete_images(run: Run) -> None:
    """Make images of a running machine, and delete them as the stack's function does: pending ones, and ready ones."""
    with run.step("delete images") as step:
        machine = _machines(run, ANNEX_TAG, MARKET)[0]["InstanceId"]
        answers = []
        for number in range(run.options.images):
            request = _image_request(run, f"{IMAGE}-{number}")
            tags: Any = [*request.tags, {"Key": IMAGE_TAG, "Value": request.name}]
            ec2 = run.helper.ec2
            with explained("making an image"):
                image = ec2.create_image(
                    InstanceId=machine,
                    Name=request.name,
                    NoReboot=True,
                    TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")],
                )["ImageId"]
            if number % 2:
                run.wait(partial(_is_settled, run, image), f"the image {image}", 900)
            answers.append(delete_image(run, request))
        refused = sum(bool(answer) for answer in answers[::2])
        step.notes.append(f"{refused} of {len(answers[::2])} pending ones were refused at first")
        step.notes += sorted({answer for answer in answers if answer})
        _end(run, MARKET)


def _is_settled(run: Run, image: str) -> bool:
    """Tell whether an image is ready, or gone: the stack does not own it, so its hourly check may delete it."""
    found = run.helper.ec2.describe_images(Owners=["self"], Filters=[{"Name": "image-id", "Values": [image]}])["Images"]
    return not found or found[0]["State"] == "available"


def _image_request(run: Run, name: str) -> Request:
    stack = find_deployed(run.deployer, STACK)
    return Request(stack.stack_id, "Image", "", name, {}, time.monotonic() + 600)


def delete_image(run: Run, request: Request) -> str:
    """Delete an image with its snapshots by the code of the stack's function, as often as that takes.

    Args:
        run: whose helper deletes.
        request: names it.

    Returns:
        Why the first try did not do; empty where it did.

    Raises:
        LiveError: it is not gone in time.
        ClientError: AWS refused for good.
    """
    # The function's own client is of the default session.
    keys: Any = run.helper.session.get_credentials()
    keys = keys.get_frozen_credentials()
    boto3.setup_default_session(
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
        region_name=run.region,
    )
    first = ""
    while True:
        try:
            image_resource.delete(request)
            left = find_image(run.helper.ec2, request)
            if left is None:
                return first
            problem = f"{left['ImageId']} is still listed"
        except NotYetError as error:
            problem = str(error)
        except ClientError as error:
            if error_code(error) not in PATIENCE:
                raise
            problem = str(error)
        first = first or problem.replace(request.name, "it")
        if time.monotonic() > request.deadline:
            raise LiveError(problem)
        run.sleep(5.0)


def delete_images(run: Run) -> None:
    """Delete every image that a run made to be deleted."""
    filters: Any = [{"Name": f"tag:{IMAGE_TAG}", "Values": [f"{IMAGE}-*"]}]
    ec2 = run.helper.ec2
    made = [
        *ec2.describe_images(Owners=["self"], Filters=filters)["Images"],
        *ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"],
    ]
    for each in made:
        tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
        deadline = time.monotonic() + 600
        delete_image(run, Request(tags[STACK_TAG], "Image", "", tags[IMAGE_TAG], {}, deadline))


def _see_isolated(run: Run) -> None:
    with run.step("an isolated subnet") as step:
        options = (
            "--count",
            "1",
            "--type",
            run.options.instance_type,
            "--subnet",
            run.options.isolated_subnet,
            "--dry-run",
        )
        common = ("--owner", run.options.owner, "--skip-pool-check")
        said = run.by_starter("start", ONE, *options, *common, warnings=True)
        if "no way out" not in said:
            raise LiveError(f"start says nothing of {run.options.isolated_subnet}: {said}")
        step.notes.append("start warns")


def _see_key(run: Run) -> None:
    with run.step("another default key") as step:
        default = run.auditor.ec2.get_ebs_default_kms_key_id()["KmsKeyId"]
        if default.endswith("alias/aws/ebs"):
            raise LiveError("the account's default key is AWS's own: choose another one, or leave --default-key out")
        _start(run, ONE, "--count", "1", "--type", run.options.instance_type)
        key = _key_of(run, ONE)
        _end(run, ONE)
        if key == default:
            raise LiveError(f"the volume has the account's default key {key}")
        step.notes.append(f"{key}, where the account's default is {default}")


def read_cloudtrail(run: Run) -> None:
    """Note which parts of a machine each RunInstances of a fleet named, as CloudTrail has it by now."""
    with run.step("what CloudTrail recorded") as step:
        if not run.is_aws:
            return
        trail = run.auditor.session.client("cloudtrail", region_name=run.region)
        wanted: Any = [{"AttributeKey": "EventName", "AttributeValue": "RunInstances"}]

        def recorded() -> list[dict[str, Any]]:
            found = trail.lookup_events(LookupAttributes=wanted, StartTime=run.began, EndTime=datetime.now(UTC))
            parsed = [json.loads(event["CloudTrailEvent"]) for event in found["Events"]]
            return [event for event in parsed if "ec2fleet" in str(event.get("userIdentity", {}).get("invokedBy"))]

        with contextlib.suppress(LiveError):
            run.wait(lambda: bool(recorded()), "a RunInstances of a fleet in CloudTrail", CLOUDTRAIL)
        for event in recorded():
            asked = event["requestParameters"]
            step.notes.append(f"as {event['userIdentity']['type']}: {', '.join(sorted(asked))}")
            step.notes += [f"error {event['errorCode']}"] if "errorCode" in event else []
        step.notes = list(dict.fromkeys(step.notes))
        if not step.notes:
            step.unseen = "CloudTrail has no RunInstances of a fleet yet"
