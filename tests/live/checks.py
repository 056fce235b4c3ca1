"""What each step of a live test proves, and what to do where it fails. Pure.

The numbers are the order: what is cheapest and least certain comes first.
"""

from __future__ import annotations

from dataclasses import dataclass

REPORT = "open an issue with this report"


@dataclass(frozen=True)
class Check:
    """One step, as the report explains it.

    Attributes:
        number: the part of the test that it belongs to; empty for what only prepares or cleans up.
        proves: what is known where it succeeds.
        advice: what to do where it does not.
        only_aws: why an AWS on one machine cannot show it, whatever it answers; empty where it can.
    """

    number: str
    proves: str
    advice: str
    only_aws: str = ""


CHECKS = {
    "nothing of an earlier run is there": Check("", "the run begins with nothing", "run it with --clean-up first"),
    "ValidatePolicy": Check(
        "0",
        "AWS finds no error in our policies",
        f"{REPORT}; if the auditor may not call it, add access-analyzer:ValidatePolicy",
        "it has no Access Analyzer",
    ),
    "SimulateCustomPolicy": Check(
        "0",
        "AWS's own evaluation allows what start needs, and denies what it must not do",
        f"{REPORT}; if the auditor may not call it, add iam:SimulateCustomPolicy",
        "it has no policy simulator",
    ),
    "a change set that is not executed": Check(
        "0",
        "CloudFormation accepts the template, and the deployer may create and discard change sets",
        "compare the deployer's policy with annex-bootstrap policy deployer",
    ),
    "deploy": Check(
        "1",
        "the stack's resources come in their order, with the deployer's permissions and within the roles' boundary",
        "the error names the first cause; compare the deployer's policy and the boundary with what is printed",
    ),
    "update": Check("1", "a change of a parameter replaces nothing", REPORT),
    "the functions run": Check(
        "1",
        "Lambda's runtime on arm64 loads the functions that are called by people",
        f"read their log groups for the import that fails, and {REPORT}",
        "it runs them with the Python and the processor of its machine",
    ),
    "image": Check(
        "2",
        "the builder's and the image's roles can do their work within the boundary",
        "annex-bootstrap explain says why; the console of the builder is in its reason",
    ),
    "the image is built": Check(
        "2",
        "Debian's image, cloud-init, apt and the kernel do on EC2 what they do in virtual machines",
        f"read the builder's log in the stack's events, and {REPORT}",
        "no machine boots",
    ),
    "a user with StartPolicy only": Check(
        "0", "the helper may make that user", "compare the helper's policy with --helper-policy"
    ),
    "dry run of RunInstances": Check(
        "0",
        "StartPolicy allows one machine of the launch template, and none without an annex's tag",
        f"{REPORT}: EC2 sends other keys or ARNs than the policy expects",
    ),
    "dry run of CreateFleet": Check(
        "0", "StartPolicy allows the fleet", f"{REPORT}: EC2 sends other keys or ARNs than the policy expects"
    ),
    "start one machine": Check(
        "3",
        "CreateFleet starts a machine with the rights of its caller, who has StartPolicy only",
        "the error of start names what was denied; compare it with annex-bootstrap policy start",
    ),
    "its volume is encrypted": Check("3", "the launch template's key is used", f"do not use it yet, and {REPORT}"),
    "it joins and runs a job": Check(
        "4",
        "the machine finds its configuration and the pool, and takes a job",
        "annex-bootstrap explain; read the machine's console, and ~/live.log of the job",
        "no machine boots",
    ),
    "it powers off when it is idle": Check(
        "4",
        "the machine ends by itself and stops costing money",
        f"read its console; end it with annex-bootstrap leases end, and {REPORT}",
        "no machine boots",
    ),
    "its lease ends": Check(
        "4", "machine, rule and configuration are gone", "annex-bootstrap doctor; read the lease function's log"
    ),
    "start --cores": Check(
        "5",
        "what AWS chooses is what the preview showed: its types, its numbers, its subnets",
        f"{REPORT}: the attributes by which the types are chosen mean something else",
    ),
    "the same request again": Check(
        "6",
        "a repeated request starts nothing, and it is known whether its answer names the machines",
        f"do not repeat an interrupted start, and {REPORT}",
    ),
    "start --spot": Check(
        "7",
        "a spot machine starts with StartPolicy only",
        "a shortage of capacity is no fault: run it again in another region",
    ),
    "the spot role comes with the stack": Check(
        "7",
        "an account that never had a spot machine needs nobody to make its role",
        "ask an administrator for aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
    ),
    "delete images": Check(
        "8",
        "images that are pending and images that are ready go with their snapshots, every time",
        f"look for images and snapshots with the tag annex-bootstrap:image, and {REPORT}",
    ),
    "an isolated subnet": Check("9", "start warns before machines start where no way leads out", REPORT),
    "another default key": Check(
        "9", "machines use the launch template's key and not the account's default one", REPORT
    ),
    "credentials": Check(
        "10",
        "the operator can make a user for condor_annex, whose key works",
        "compare the operator's policy and the users' boundary with what is printed",
    ),
    "find an image": Check("10", "", "annex-bootstrap image status"),
    "start an on-demand machine": Check(
        "10", "condor_annex's RunInstances is allowed", "compare with annex-bootstrap policy user"
    ),
    "extend its lease": Check("10", "condor_annex can extend a lease", "annex-bootstrap doctor"),
    "start a spot machine": Check(
        "10",
        "condor_annex's RequestSpotFleet is allowed, and the fleet's role starts the machine",
        "the fleet's history says why: aws ec2 describe-spot-fleet-request-history",
    ),
    "which service PassRole sees": Check("10", "the name that EC2 gives itself", ""),
    "the spot annex ends": Check(
        "10", "EventBridge's tick ends a fleet after its lease", "read the lease function's log"
    ),
    "the extended annex is still there": Check("10", "an extension holds", REPORT),
    "the extended annex ends": Check(
        "10", "EventBridge's tick ends a machine after its lease", "read the lease function's log"
    ),
    "the tarball is deleted": Check("10", "nothing secret stays in the bucket", "read the lease function's log"),
    "sweep": Check("10", "the hourly search finds no orphan", "annex-bootstrap doctor"),
    "alarms and metrics": Check("10", "the alarms watch metrics that exist", REPORT),
    "doctor": Check("10", "doctor finds nothing wrong", "do what it says"),
    "what CloudTrail recorded": Check(
        "3",
        "which parts and tags each RunInstances of a fleet carried",
        "CloudTrail is up to fifteen minutes late",
        "it has no CloudTrail",
    ),
    "credentials --remove": Check("", "the user is gone", "run --clean-up"),
    "delete": Check("", "the stack deletes all that it made", "annex-bootstrap explain; then run --clean-up"),
    "clean up: the users": Check("", "", "run --clean-up"),
    "clean up: annexes and stack": Check("", "", "run --clean-up"),
    "clean up: images": Check("", "", "run --clean-up"),
    "clean up: rules": Check("", "", "run --clean-up"),
    "census": Check("", "nothing is left", "run --clean-up"),
}
"""Every step, by its name, in about the order in which they come."""
