"""UpdateUser, which gives a user another path; MiniStack lacks it, and renaming users is not needed here.

Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateUser.html
"""

from __future__ import annotations

from ministack.core.responses import get_account_id
from ministack.services import iam

from local_aws.server.iam.rules import value_of
from local_aws.server.wire import Params, Response


def install() -> None:
    """Add the call to those of MiniStack's IAM."""
    iam._IAM_HANDLERS["UpdateUser"] = _update_user


def new_arn(params: Params) -> str:
    """Return the ARN that the user gets: its caller needs the right for this one as well."""
    name = value_of(params, "UserName")
    path = value_of(params, "NewPath") or iam._users.get(name, {}).get("Path", "/")
    return f"arn:aws:iam::{get_account_id()}:user{path}{name}"


def _update_user(params: Params) -> Response:
    name = value_of(params, "UserName")
    if name not in iam._users:
        missing: Response = iam._error(404, "NoSuchEntity", f"The user with name {name} cannot be found.", ns="iam")
        return missing
    user = iam._users[name]
    user["Arn"] = new_arn(params)
    user["Path"] = value_of(params, "NewPath") or user["Path"]
    answer: Response = iam._xml(200, "UpdateUserResponse", "", ns="iam")
    return answer
