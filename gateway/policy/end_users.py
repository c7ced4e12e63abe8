"""The names of those who own objects without being principals: the end users of services, and nobody."""

import re
from typing import Final

END_USER: Final = re.compile(r"[A-Za-z0-9_+=.@:|-]{1,128}")
"""The whole of a name: what user ids, e-mail addresses and names like "google-oauth2|103" are made of.

No `/` and no `*`, which statements use ("backend/sara", "backend/*"); no blank, comma or non-ASCII letter, which
headers and ARNs do not carry unharmed.
"""


ADOPTED: Final = "(adopted)"
"""Who owns what nobody has stored through us, and what nobody is known to have: no caller, so the admins alone.

No end user and no principal can have this name.
"""


def is_end_user(name: str) -> bool:
    """Whether an end user may have this name."""
    return END_USER.fullmatch(name) is not None
