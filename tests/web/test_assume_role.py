"""AssumeRole: in whose name a service begins sessions."""

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.gateway import OTHER_POLICY, Gateway

POLICY = """\
project = "demo"

[principals.backend]
role = "service"

[principals.sara]
role = "uploader"

[principals.ops]
role = "admin"
"""


def test_no_end_user_has_the_name_of_the_service_whose_objects_would_be_theirs(tmp_path):
    with Gateway(tmp_path, policies={"demo": POLICY, "other": OTHER_POLICY}) as up:
        access_key_id, secret_access_key = up.create_key("demo", "backend")
        sts = boto3.client(
            "sts",
            endpoint_url=up.endpoint,
            region_name="us-east-1",
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
        )
        role = "arn:aws:iam::demo:role/uploader"
        with pytest.raises(ClientError, match=r"AccessDenied.*backend is the service itself"):
            sts.assume_role(RoleArn=role, RoleSessionName="backend")
        for end_user in ("sara", "backend2", "Backend"):
            assert sts.assume_role(RoleArn=role, RoleSessionName=end_user)["Credentials"]["SessionToken"]
