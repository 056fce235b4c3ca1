"""The IAM user that runs annexes: one policy, one access key, and the two files that condor_annex reads it from.

Every step checks what exists first, so an interrupted command is completed by running it again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from annex_bootstrap.aws import Account, explained, find_holder
from annex_bootstrap.errors import AwsError, UserError
from annex_bootstrap.local_user import expand_home
from annex_bootstrap.pool.files import close_to_others, read_private, write_private
from annex_contract.stack import ROLE_PATH, STACK_TAG, stack_path

MOST_KEYS = 2
"""Access keys that IAM lets a user have."""

KEY_ID = re.compile(r"\w{16,128}", re.ASCII)
"""The form of an access key's ID: https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html"""

FROM_INSTANCE = "FROM INSTANCE"
"""What makes condor_annex use the role of the machine that it runs on."""


@dataclass(frozen=True)
class Key:
    """An access key without its secret.

    Attributes:
        key_id: its public part.
        created: when.
    """

    key_id: str
    created: datetime


@dataclass(frozen=True)
class KeyFiles:
    """The two files of a key, as condor_annex wants them.

    Attributes:
        access: holds the key ID.
        secret: holds the secret.
    """

    access: Path
    secret: Path

    @classmethod
    def below(cls, directory: Path, region: str) -> KeyFiles:
        """Return the files for a region, in a directory. Their paths are absolute, since a knob names them."""
        directory = expand_home(directory).absolute()
        return cls(directory / f"annex-access-key-{region}", directory / f"annex-secret-key-{region}")

    def key_id(self) -> str:
        """Return the key ID in the files; nothing where either is missing or empty.

        Raises:
            UserError: a file cannot be read.
        """
        access, secret = read_private(self.access), read_private(self.secret)
        return access.decode(errors="replace").strip() if access and secret else ""

    def holder(self, account: Account) -> str:
        """Return whose working key they hold, such as ``user/alice``; nothing where there is none.

        Raises:
            UserError: a file cannot be read, or AWS refused.
        """
        key_id, secret = self.key_id(), (read_private(self.secret) or b"").decode(errors="replace").strip()
        return find_holder(account, key_id, secret) if KEY_ID.fullmatch(key_id) else ""

    def write(self, key_id: str, secret: str) -> None:
        """Write both, the secret first, so that a reader of the new ID also finds its secret.

        Raises:
            UserError: one cannot be written.
        """
        write_private(self.secret, f"{secret}\n".encode())
        write_private(self.access, f"{key_id}\n".encode())

    def delete(self) -> None:
        """Delete both, where they exist."""
        self.access.unlink(missing_ok=True)
        self.secret.unlink(missing_ok=True)


@dataclass(frozen=True)
class Rotation:
    """What a rotation deletes.

    Attributes:
        before: keys to delete before a new one can be made.
        after: keys to delete when the new one is in its files.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]


def plan_rotation(keys: list[Key], in_files: str) -> Rotation:
    """Decide when to delete which key.

    Args:
        keys: that the user has.
        in_files: the ID of the key in the files; it works for as long as possible.

    Returns:
        All of ``keys``, in two groups.
    """
    oldest_first = sorted(keys, key=lambda key: (key.key_id == in_files, key.created))
    spare = max(0, len(keys) - (MOST_KEYS - 1))
    ids = tuple(key.key_id for key in oldest_first)
    return Rotation(ids[:spare], ids[spare:])


def default_user_name(stack_name: str, region: str) -> str:
    """Return the name of the user for a stack. IAM names are unique in an account, so it contains the region."""
    return f"{stack_name}-{region}"


def check_policy(account: Account, policy_arn: str) -> None:
    """Refuse to give a user any policy but one that a stack of this account made.

    Raises:
        UserError: the policy is another account's, AWS's, or under another path.
    """
    if not policy_arn.startswith(f"arn:{account.partition}:iam::{account.account_id}:policy{ROLE_PATH}"):
        raise UserError(f"{policy_arn} is not a policy of annex-bootstrap in this account: no user gets it")


@dataclass(frozen=True)
class AnnexUser:
    """The IAM user of a stack.

    Attributes:
        account: where.
        stack_name: of the stack; the user's path has it.
        name: its name, 64 characters at most.
        files: where its key is kept on this machine.
        boundary: the ARN of its permissions boundary; empty for none, or to leave the one that it has.
    """

    account: Account
    stack_name: str
    name: str
    files: KeyFiles
    boundary: str = ""

    def set_up(self, stack_id: str, policy_arn: str) -> bool:
        """Make the user with only that policy, and a key in the files where they hold none that works.

        Args:
            stack_id: goes into the user's tag, by which it is ours.
            policy_arn: the stack's policy for users.

        Returns:
            Whether a key was made.

        Raises:
            UserError: AWS refused, the name belongs to another user, the files hold the key of another one, or the
                user has two keys that are not here.
        """
        self._check_files()
        with explained(f"making the IAM user {self.name}"):
            self._make(stack_id, policy_arn)
            keys = self._keys()
        in_files = self.files.key_id()
        if in_files in [key.key_id for key in keys]:
            for path in (self.files.access, self.files.secret):
                close_to_others(path)
            return False
        if len(keys) >= MOST_KEYS:
            raise UserError(
                f"the IAM user {self.name} has two access keys already ({', '.join(key.key_id for key in keys)}) "
                f"and neither is in {self.files.access}: run annex-bootstrap credentials --rotate to replace both, "
                "or give --user-name another name"
            )
        self._make_key()
        return True

    def is_bounded(self) -> bool:
        """Return whether there is such a user with a permissions boundary.

        Raises:
            UserError: AWS refused.
        """
        try:
            with explained(f"reading the IAM user {self.name}"):
                return "PermissionsBoundary" in self.account.iam.get_user(UserName=self.name)["User"]
        except AwsError as error:
            if error.code != "NoSuchEntity":
                raise
        return False

    def rotate(self, stack_id: str, policy_arn: str) -> tuple[str, ...]:
        """Replace every key of the user by a new one. The old keys are deleted last, when the files hold the new one.

        Args:
            stack_id: goes into the user's tag, by which it is ours.
            policy_arn: the stack's policy for users.

        Returns:
            The IDs of the keys that were deleted.

        Raises:
            UserError: AWS refused, the name belongs to another user, the files hold the key of another one, or cannot
                be written.
        """
        self._check_files()
        with explained(f"rotating the key of the IAM user {self.name}"):
            self._make(stack_id, policy_arn)
            rotation = plan_rotation(self._keys(), self.files.key_id())
            self._delete_keys(rotation.before)
        self._make_key()
        with explained(f"deleting the old key of the IAM user {self.name}"):
            self._delete_keys(rotation.after)
        return rotation.before + rotation.after

    def remove(self) -> tuple[str, ...] | None:
        """Delete the user's keys, the files if they hold one of them, and then the user.

        Returns:
            The IDs of its keys; None where there was no such user.

        Raises:
            UserError: AWS refused, the user is not ours, or somebody gave it something with which AWS deletes no user.
        """
        with explained(f"deleting the IAM user {self.name}"):
            if self._owner() is None:
                return None
            keys = [key.key_id for key in self._keys()]
            in_files = self.files.key_id()
            self._delete_keys(keys)
            for attached in self._attached():
                self.account.iam.detach_user_policy(UserName=self.name, PolicyArn=attached)
        if in_files in keys:
            self.files.delete()
        try:
            with explained(f"deleting the IAM user {self.name}"):
                self.account.iam.delete_user(UserName=self.name)
        except AwsError as error:
            # A password, an MFA device, a certificate, an inline policy or a group.
            if error.code != "DeleteConflict":
                raise
            raise UserError(
                f"the IAM user {self.name} has no key and no policy of annex-bootstrap any more, but AWS keeps it: "
                f"{error.reason.rstrip('.')}. Remove that in the IAM console, then run the same command again"
            ) from error
        return tuple(keys)

    def _check_files(self) -> None:
        """Refuse to overwrite a key of another user that works: its secret is nowhere else.

        Raises:
            UserError: the files hold one.
        """
        holder = self.files.holder(self.account)
        if holder and holder not in (f"user{path}{self.name}" for path in (ROLE_PATH, stack_path(self.stack_name))):
            raise UserError(
                f"{self.files.access} holds the key of {holder}, which works, and its secret would be lost: give "
                "--directory another directory, or remove that user first"
            )

    def _make(self, stack_id: str, policy_arn: str) -> None:
        owner = self._owner()
        if owner is None:
            bounded: Any = {"PermissionsBoundary": self.boundary} if self.boundary else {}
            self.account.iam.create_user(
                UserName=self.name,
                Path=stack_path(self.stack_name),
                Tags=[{"Key": STACK_TAG, "Value": stack_id}],
                **bounded,
            )
            # IAM may not find for a while what it has just made.
            self.account.iam.get_waiter("user_exists").wait(UserName=self.name)
        elif owner != stack_id:
            # The stack was deleted and created again: its user still belongs to the same person.
            self.account.iam.tag_user(UserName=self.name, Tags=[{"Key": STACK_TAG, "Value": stack_id}])
        if owner is not None and self.boundary:
            self.account.iam.put_user_permissions_boundary(UserName=self.name, PermissionsBoundary=self.boundary)
        attached = self._attached()
        if policy_arn not in attached:
            self.account.iam.attach_user_policy(UserName=self.name, PolicyArn=policy_arn)
        for other in attached:
            if other != policy_arn:
                self.account.iam.detach_user_policy(UserName=self.name, PolicyArn=other)

    def _owner(self) -> str | None:
        """Return the ID of the user's stack, or None where there is no user; put the user under the stack's path.

        Raises:
            UserError: the user is another stack's, or somebody else's.
        """
        account, path = self.account, stack_path(self.stack_name)
        try:
            user = account.iam.get_user(UserName=self.name)["User"]
        except account.iam.exceptions.NoSuchEntityException:
            return None
        owners = [tag["Value"] for tag in user.get("Tags", []) if tag["Key"] == STACK_TAG]
        if not user["Path"].startswith(ROLE_PATH) or not owners:
            raise UserError(
                f"the IAM user {self.name} exists and was not made by annex-bootstrap: give --user-name another name"
            )
        # A stack's ARN ends in a UUID, which differs for every new stack of the same name.
        here = f"arn:{account.partition}:cloudformation:{account.region}:{account.account_id}:stack/{self.stack_name}"
        if owners[0].rpartition("/")[0] != here:
            raise UserError(
                f"the IAM user {self.name} belongs to another stack, {owners[0]}: give --user-name another name"
            )
        if user["Path"] != path:
            # Versions before a stack had a path of its own made it there. Its keys and policies stay as they are.
            account.iam.update_user(UserName=self.name, NewPath=path)
        return owners[0]

    def _attached(self) -> list[str]:
        pages = self.account.iam.get_paginator("list_attached_user_policies").paginate(UserName=self.name)
        return [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]

    def _keys(self) -> list[Key]:
        pages = self.account.iam.get_paginator("list_access_keys").paginate(UserName=self.name)
        return [Key(key["AccessKeyId"], key["CreateDate"]) for page in pages for key in page["AccessKeyMetadata"]]

    def _make_key(self) -> None:
        with explained(f"making a key for the IAM user {self.name}"):
            made = self.account.iam.create_access_key(UserName=self.name)["AccessKey"]
        try:
            self.files.write(made["AccessKeyId"], made["SecretAccessKey"])
        except UserError:
            # A key whose secret is lost is useless and counts towards the limit of two.
            self._delete_keys([made["AccessKeyId"]])
            raise

    def _delete_keys(self, key_ids: list[str] | tuple[str, ...]) -> None:
        for key_id in key_ids:
            self.account.iam.delete_access_key(UserName=self.name, AccessKeyId=key_id)
