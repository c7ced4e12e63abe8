"""Whose access key it is: keys of the store, principals of the policies."""

from gateway.errors import Code, S3Error
from gateway.policy.model import Principal
from gateway.store.access_keys import OpenedKey
from gateway.web.call import Services


async def open_key(services: Services, access_key_id: str) -> OpenedKey | None:
    """An active key of a principal that the policies name; None: nobody's."""
    keys = services.store.access_keys
    key = keys.at_hand(access_key_id) or await keys.open(access_key_id)
    if key is None or services.policies.principal(key.project, key.principal) is None:
        return None
    return key


def principal_of(services: Services, key: OpenedKey, now_s: int) -> Principal:
    """Whose key it is, now that it has signed something; raises S3Error: InvalidAccessKeyId."""
    principal = services.policies.principal(key.project, key.principal)
    if principal is None:
        raise S3Error(Code.InvalidAccessKeyId, AWSAccessKeyId=key.access_key_id)
    services.store.access_keys.note_use(key.access_key_id, now_s)
    return principal
