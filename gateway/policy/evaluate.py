"""May this principal do this? The one function that decides, asked for every resource a request names."""

from dataclasses import dataclass

from gateway.policy.model import Principal, Role


@dataclass(frozen=True, slots=True)
class Resource:
    """What an action touches: a bucket's project (None: nobody's), the bucket, the key, the object's uploader.

    An action on the service itself, such as s3:ListAllMyBuckets, names the caller's own project and no bucket.
    """

    project: str | None
    bucket: str | None = None
    key: str | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer and why; the reason is for logs and admins, never for the caller."""

    allowed: bool
    reason: str


_ANONYMOUS = Decision(False, "anonymous requests are not allowed")
_OTHER_PROJECT = Decision(False, "the resource is not in the principal's project")
_NOT_S3 = Decision(False, "not an S3 action")
_NO_RULE = Decision(False, "no rule allows it")
_ADMIN = Decision(True, "an admin may do everything in its project")


def evaluate(principal: Principal | None, action: str, resource: Resource) -> Decision:
    """Decide one action (`s3:GetObject`) on one resource; what no rule allows is denied."""
    if principal is None:
        return _ANONYMOUS
    if resource.project is None or resource.project != principal.project:
        return _OTHER_PROJECT
    if not action.startswith("s3:"):
        return _NOT_S3
    if principal.role is Role.ADMIN:
        return _ADMIN
    return _NO_RULE
