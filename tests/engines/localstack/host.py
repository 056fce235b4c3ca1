"""LocalStack in host mode, with what its open edition lacks: it runs with LocalStack's own packages.

Functions are processes of this Python. Four kinds of resources have providers here, written to AWS's documents: custom
resources, inline policies of roles, launch templates, and managed policies. One more thing is made up: a builder's
machine, which says on its console that it has installed everything, and shuts down. What begins with ``mend_`` mends
what LocalStack or moto does otherwise than AWS, and our template or client needs.

Wire format of custom resources: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
import os
import queue
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from localstack.runtime import main
from localstack.services.cloudformation import resource_provider as providers
from localstack.services.cloudformation.engine.v2 import change_set_model_preproc as preproc
from localstack.services.cloudformation.engine.v2 import change_set_resource_support_checker as support
from localstack.services.cloudformation.models import get_cloudformation_store
from localstack.services.cloudformation.v2.provider import CloudformationProviderV2, find_change_set_v2
from localstack.services.lambda_.invocation import runtime_executor
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.utils import testutil
from moto.core.responses import ActionResult
from moto.ec2.models.amis import AmiBackend
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.general import General

CA_FILE, CERTIFICATE = (os.environ[f"JUDGE_{name}"] for name in ("CA_FILE", "CERTIFICATE"))

RUNNER = """
import importlib, json, os, sys, time
sys.path.insert(0, os.getcwd())
end = time.monotonic() + float(os.environ["AWS_LAMBDA_FUNCTION_TIMEOUT"])
class Context:
    aws_request_id = log_stream_name = sys.argv[2]
    function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
    invoked_function_arn = sys.argv[3]
    log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
    memory_limit_in_mb = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
    def get_remaining_time_in_millis(self):
        return int((end - time.monotonic()) * 1000)
module, _, name = os.environ["_HANDLER"].rpartition(".")
event = json.load(sys.stdin)
try:
    answer, code = getattr(importlib.import_module(module), name)(event, Context()), 0
except Exception as error:
    answer, code = {"errorType": type(error).__name__, "errorMessage": str(error)}, 1
open(sys.argv[1], "w").write(json.dumps(answer))
sys.exit(code)
"""

ANSWER_LIMIT = 4096
"""Bytes: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html"""

PATIENCE = 300
"""Seconds until a custom resource must have answered."""

SUCCESS, FAILED = providers.OperationStatus.SUCCESS, providers.OperationStatus.FAILED


class Processes(runtime_executor.RuntimeExecutor):
    """Runs a function as a process for each event."""

    def start(self, env_vars: dict[str, str]) -> None:
        own = {"SSL_CERT_FILE": CA_FILE, "PYTHONDONTWRITEBYTECODE": "1"}
        own |= {name: os.environ[name] for name in ("PATH", "PYTHONPATH")}
        self.environ = {name: str(value) for name, value in env_vars.items()} | own

    def stop(self) -> None:
        """Nothing runs between two events."""

    def get_address(self) -> str:
        return "127.0.0.1"

    get_endpoint_from_executor = get_runtime_endpoint = get_address

    def get_logs(self) -> str:
        return ""

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        code = self.function_version.config.code.get_unzipped_code_location()
        with tempfile.NamedTemporaryFile() as answer:
            done = subprocess.run(
                [sys.executable, "-c", RUNNER, answer.name, payload["invoke-id"], payload["invoked-function-arn"]],
                cwd=code,
                env=self.environ,
                input=payload["payload"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            sys.stdout.write(f"{self.function_version.id.function_name}: {done.stdout}\n")
            return InvocationResult(payload["invoke-id"], Path(answer.name).read_bytes(), done.returncode != 0, "")

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        """Its code stays: the next version is prepared before this one is cleaned up."""


class Answers:
    """The URLs at which custom resources answer."""

    def __init__(self) -> None:
        self.waiting: dict[str, queue.Queue[bytes]] = {}
        waiting = self.waiting

        class Url(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                waiting[self.path].put(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Url)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.address = f"https://127.0.0.1:{server.server_port}"

    def ask(self, functions: Any, function: str, event: dict[str, Any]) -> dict[str, Any]:
        """Send a function an event as CloudFormation does, and return its answer.

        Raises:
            ValueError: it is none that CloudFormation takes.
        """
        path = f"/{uuid.uuid4()}"
        self.waiting[path] = queue.Queue()
        sent = {**event, "ResponseURL": self.address + path, "ServiceToken": function}
        # Not as an event: LocalStack loses those that it gets while it updates the function.
        functions.get_waiter("function_updated_v2").wait(FunctionName=function)
        functions.invoke(FunctionName=function, Payload=json.dumps(sent).encode())
        body = self.waiting[path].get(timeout=PATIENCE)
        if len(body) > ANSWER_LIMIT:
            raise ValueError("Response object is too long.")
        answer: dict[str, Any] = json.loads(body)
        for name in ("RequestId", "LogicalResourceId", "StackId"):
            if answer.get(name) != event[name]:
                raise ValueError(f"Invalid {name} in the answer: {answer.get(name)}")
        if answer["Status"] == "SUCCESS" and not answer.get("PhysicalResourceId"):
            raise ValueError("Invalid PhysicalResourceId")
        return answer


def as_text(value: Any) -> Any:
    """Return properties as CloudFormation sends them: every scalar as a string."""
    if isinstance(value, dict):
        return {name: as_text(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_text(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


class CustomResource(providers.ResourceProvider):
    """A custom resource."""

    SCHEMA: ClassVar[dict[str, list[str]]] = {"primaryIdentifier": ["/properties/PhysicalResourceId"]}
    answers = Answers()
    known: ClassVar[dict[tuple[str, str], tuple[str, dict[str, Any]]]] = {}
    """The physical ID and the properties of each, by stack and logical ID."""

    def create(self, request: Any) -> Any:
        answer = self._ask(request, "Create", request.desired_state)
        if answer["Status"] != "SUCCESS":
            # CloudFormation deletes what a failed Create may have left.
            made = answer.get("PhysicalResourceId", request.logical_resource_id)
            self._ask(request, "Delete", request.desired_state, PhysicalResourceId=made)
            return self._event(request, answer, {})
        return self._event(request, answer, request.desired_state)

    def update(self, request: Any) -> Any:
        try:
            return self._update(request)
        except Exception as error:
            # The engine hides why.
            return providers.ProgressEvent(FAILED, resource_model={}, message=f"{type(error).__name__}: {error}")

    def _update(self, request: Any) -> Any:
        made, before = self.known[request.stack_id, request.logical_resource_id]
        old = {"PhysicalResourceId": made, "OldResourceProperties": as_text(before)}
        answer = self._ask(request, "Update", request.desired_state, **old)
        event = self._event(request, answer, request.desired_state)
        if answer["Status"] == "SUCCESS" and answer["PhysicalResourceId"] != made:
            # CloudFormation does so in its clean-up, after all else: here nothing is called then.
            self._ask(request, "Delete", before, PhysicalResourceId=made)
        return event

    def delete(self, request: Any) -> Any:
        key = (request.stack_id, request.logical_resource_id)
        if key not in self.known:
            return providers.ProgressEvent(SUCCESS, resource_model={})
        made, properties = self.known[key]
        answer = self._ask(request, "Delete", properties, PhysicalResourceId=made)
        if answer["Status"] == "SUCCESS":
            del self.known[key]
            return providers.ProgressEvent(SUCCESS, resource_model={})
        return providers.ProgressEvent(FAILED, resource_model={}, message=answer["Reason"])

    def _ask(self, request: Any, kind: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
        event = {
            "RequestType": kind,
            "RequestId": str(uuid.uuid4()),
            "StackId": request.stack_id,
            "ResourceType": request.resource_type,
            "LogicalResourceId": request.logical_resource_id,
            "ResourceProperties": as_text(properties),
            **more,
        }
        return self.answers.ask(request.aws_client_factory.lambda_, properties["ServiceToken"], event)

    def _event(self, request: Any, answer: dict[str, Any], properties: dict[str, Any]) -> Any:
        if answer["Status"] != "SUCCESS":
            return providers.ProgressEvent(FAILED, resource_model={}, message=answer["Reason"])
        made = answer["PhysicalResourceId"]
        self.known[request.stack_id, request.logical_resource_id] = (made, dict(properties))
        return providers.ProgressEvent(SUCCESS, {**answer.get("Data", {}), "PhysicalResourceId": made})


class RolePolicy(providers.ResourceProvider):
    """AWS::IAM::RolePolicy."""

    SCHEMA: ClassVar[dict[str, list[str]]] = {
        "primaryIdentifier": ["/properties/PolicyName", "/properties/RoleName"],
        "createOnlyProperties": ["/properties/PolicyName", "/properties/RoleName"],
    }

    def create(self, request: Any) -> Any:
        wanted = request.desired_state
        request.aws_client_factory.iam.put_role_policy(
            RoleName=wanted["RoleName"],
            PolicyName=wanted["PolicyName"],
            PolicyDocument=json.dumps(wanted["PolicyDocument"]),
        )
        return providers.ProgressEvent(SUCCESS, wanted)

    update = create

    def delete(self, request: Any) -> Any:
        made = request.desired_state
        request.aws_client_factory.iam.delete_role_policy(RoleName=made["RoleName"], PolicyName=made["PolicyName"])
        return providers.ProgressEvent(SUCCESS, resource_model={})


class ManagedPolicy(providers.ResourceProvider):
    """AWS::IAM::ManagedPolicy with its path and its description, which LocalStack's own provider leaves out."""

    SCHEMA: ClassVar[dict[str, list[str]]] = {
        "primaryIdentifier": ["/properties/PolicyArn"],
        "createOnlyProperties": ["/properties/Description", "/properties/ManagedPolicyName", "/properties/Path"],
    }

    def create(self, request: Any) -> Any:
        wanted = request.desired_state
        made = request.aws_client_factory.iam.create_policy(
            PolicyName=f"{request.stack_name}-{request.logical_resource_id}-{uuid.uuid4().hex[:12]}",
            PolicyDocument=json.dumps(wanted["PolicyDocument"]),
            Path=wanted["Path"],
            Description=wanted["Description"],
        )["Policy"]
        return providers.ProgressEvent(SUCCESS, {**wanted, "PolicyArn": made["Arn"]})

    def update(self, request: Any) -> Any:
        arn, document = request.previous_state["PolicyArn"], json.dumps(request.desired_state["PolicyDocument"])
        request.aws_client_factory.iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
        return providers.ProgressEvent(SUCCESS, {**request.desired_state, "PolicyArn": arn})

    def delete(self, request: Any) -> Any:
        iam, arn = request.aws_client_factory.iam, request.desired_state["PolicyArn"]
        for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        iam.delete_policy(PolicyArn=arn)
        return providers.ProgressEvent(SUCCESS, resource_model={})


class LaunchTemplate(providers.ResourceProvider):
    """AWS::EC2::LaunchTemplate, whose data change by a new version."""

    SCHEMA: ClassVar[dict[str, list[str]]] = {
        "primaryIdentifier": ["/properties/LaunchTemplateId"],
        "createOnlyProperties": ["/properties/LaunchTemplateName"],
    }

    def create(self, request: Any) -> Any:
        wanted = request.desired_state
        made = request.aws_client_factory.ec2.create_launch_template(
            LaunchTemplateName=f"{request.logical_resource_id}_{uuid.uuid4().hex[:12]}",
            LaunchTemplateData=wanted["LaunchTemplateData"],
            TagSpecifications=wanted.get("TagSpecifications", []),
        )["LaunchTemplate"]
        return self._event(wanted, made["LaunchTemplateId"], 1)

    def update(self, request: Any) -> Any:
        wanted, template = request.desired_state, request.previous_state["LaunchTemplateId"]
        made = request.aws_client_factory.ec2.create_launch_template_version(
            LaunchTemplateId=template, LaunchTemplateData=wanted["LaunchTemplateData"]
        )["LaunchTemplateVersion"]
        return self._event(wanted, template, made["VersionNumber"])

    def delete(self, request: Any) -> Any:
        template = request.desired_state["LaunchTemplateId"]
        request.aws_client_factory.ec2.delete_launch_template(LaunchTemplateId=template)
        return providers.ProgressEvent(SUCCESS, resource_model={})

    def _event(self, wanted: dict[str, Any], template: str, version: int) -> Any:
        more = {"LaunchTemplateId": template, "LatestVersionNumber": str(version), "DefaultVersionNumber": "1"}
        return providers.ProgressEvent(SUCCESS, {**wanted, **more})


OWN = {
    "AWS::EC2::LaunchTemplate": LaunchTemplate,
    "AWS::IAM::ManagedPolicy": ManagedPolicy,
    "AWS::IAM::RolePolicy": RolePolicy,
}


def extend() -> None:
    """Add our providers, and refuse types that nobody provides."""
    load = providers.ResourceProviderExecutor.try_load_resource_provider

    def load_ours(resource_type: str) -> Any:
        if resource_type.startswith("Custom::"):
            return CustomResource()
        own = OWN.get(resource_type)
        found = own() if own else load(resource_type)
        if found is None:
            raise LookupError(f"nobody provides {resource_type}")
        return found

    providers.ResourceProviderExecutor.try_load_resource_provider = staticmethod(load_ours)
    # It asks the network which types there are.
    support.ChangeSetResourceSupportChecker.visit = lambda *_: None
    runtime_executor.EXECUTOR_PLUGIN_MANAGER.exists = lambda _: True
    runtime_executor.EXECUTOR_PLUGIN_MANAGER.load = lambda _: Plugin


class Plugin:
    """What LocalStack loads an executor by."""

    @staticmethod
    def load() -> type[Processes]:
        return Processes


def mend_parameters() -> None:
    """Have a list be a list before an update as well: else no template with a list can be updated."""
    visit = preproc.ChangeSetModelPreproc.visit_node_parameter

    def visit_list(self: Any, node: Any) -> Any:
        delta = visit(self, node)
        kind = self.visit(node.type_)
        if (kind.before or kind.after) == "CommaDelimitedList" and isinstance(delta.before, str):
            delta.before = [item.strip() for item in delta.before.split(",")]
        return delta

    preproc.ChangeSetModelPreproc.visit_node_parameter = visit_list


def mend_templates() -> None:
    """Have GetTemplate answer with the template of the change set that it is asked about, and not with the stack's."""
    provider: Any = CloudformationProviderV2
    get = provider.get_template

    @functools.wraps(get)
    def get_template(
        self: Any, context: Any, stack_name: str | None = None, change_set_name: str | None = None, **more: Any
    ) -> Any:
        answer = get(self, context, stack_name=stack_name, change_set_name=change_set_name, **more)
        if change_set_name:
            store = get_cloudformation_store(context.account_id, context.region)
            answer["TemplateBody"] = find_change_set_v2(store, change_set_name, stack_name=stack_name).template_body
        return answer

    provider.get_template = get_template


def mend_images() -> None:
    """Have images that demand IMDSv2, and whose snapshots have tags: moto forgets the one and refuses the other."""
    amis: Any = AmisResponse
    modify = amis.modify_image_attribute

    def modify_image_attribute(response: Any) -> Any:
        wanted = response._get_param("ImdsSupport", {})
        if not wanted:
            return modify(response)
        response.ec2_backend.amis[response._get_param("ImageId")].imds_support = wanted["Value"]
        return ActionResult({"Return": True})

    amis.modify_image_attribute = modify_image_attribute
    backend: Any = AmiBackend
    create = backend.create_image

    def create_image(
        self: Any, instance_id: str, name: str, description: str, tag_specifications: list[dict[str, Any]]
    ) -> Any:
        tags = {each["ResourceType"]: each["Tags"] for each in tag_specifications}
        of_image = [{"ResourceType": "image", "Tags": tags.get("image", [])}]
        image = create(self, instance_id, name, description, of_image)
        for tag in tags.get("snapshot", []):
            image.ebs_snapshot.add_tag(tag["Key"], tag["Value"])
        return image

    backend.create_image = create_image


def mend_archives() -> None:
    """Have LocalStack zip code by itself: on Debian it calls a program, which is not where it runs."""
    testutil.is_debian = lambda: False


def play_builders() -> None:
    """Have every machine with a script shut down when its console is read, with the word that it succeeded."""

    def console(response: General) -> ActionResult:
        instance_id = response._get_param("InstanceId")
        machine = response.ec2_backend.get_instance(instance_id)
        data = base64.b64decode(machine.user_data.as_bytes())
        text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode(errors="replace")
        said = dict(re.findall(r"^(MARKER|BUILD_ID)='?([A-Za-z0-9-]+)", text, re.MULTILINE))
        output = f"{' '.join(said.values())} ok condor=23.9.6 awscli=2.23.6\r\n"
        machine.stop()
        return ActionResult(
            {
                "InstanceId": instance_id,
                "Timestamp": datetime.now(UTC),
                "Output": base64.b64encode(output.encode()).decode(),
            }
        )

    general: Any = General
    general.get_console_output = console


if __name__ == "__main__":
    extend()
    mend_parameters()
    mend_templates()
    mend_images()
    mend_archives()
    play_builders()
    main.main()
