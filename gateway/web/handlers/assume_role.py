"""AssumeRole: a service begins a session for one of its end users, who then uploads directly."""

from gateway.errors import Code, S3Error
from gateway.policy.end_users import END_USER
from gateway.s3.sts import parse_assume_role, parse_form, render_assume_role
from gateway.web.answers import Answer
from gateway.web.call import Call
from gateway.web.identity import require_nobodys_name


async def assume_role(call: Call) -> Answer:
    """The session's objects belong to the end user whose name is RoleSessionName.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    project, request = call.caller.project, call.sts
    if request is None:
        raise ValueError("only a request to STS gets here")
    wanted = parse_assume_role(parse_form(request.form), project, END_USER)
    require_nobodys_name(call, wanted.session_name)
    if wanted.session_name == call.caller.principal.name:  # what the service stores for itself is no end user's
        raise S3Error(Code.AccessDenied, f"{wanted.session_name} is the service itself, and no end user.")
    credentials = call.services.sessions.issue(
        request.key, wanted.session_name, wanted.policy, now_s=call.now_s, duration_s=wanted.duration_s
    )
    body = render_assume_role(project, wanted, credentials, call.request_id)
    return Answer(200, [("Content-Type", "text/xml"), ("Cache-Control", "no-store")], body)
