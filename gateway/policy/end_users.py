"""The names of end users: for whom a service principal stores, by a header or in a session."""

import re
from typing import Final

END_USER: Final = re.compile(r"[A-Za-z0-9_+=.@:|-]{1,128}")
"""The whole of a name: what user ids, e-mail addresses and names like "google-oauth2|103" are made of.

No `/` and no `*`, which statements use ("backend/sara", "backend/*"); no blank, comma or non-ASCII letter, which
headers and ARNs do not carry unharmed.
"""


def is_end_user(name: str) -> bool:
    """Whether an end user may have this name."""
    return END_USER.fullmatch(name) is not None
