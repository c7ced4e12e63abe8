"""Policy files for tests: one that says everything there is to say, and ones that say anything at all."""

import json

from hypothesis import strategies as st

from gateway.policy.tables import CategoryDocument, ProjectDocument, StatementDocument

WHOLE = """\
project = "demo"
origin = "local"
quota = { bytes = "1TiB", objects = 1_000_000 }
uploader_header = "X-Amz-Meta-Owner.Id"
max_open_uploads = 20

[categories.avatars]
bucket = "demo-pictures"
origin = "cold"
origin_bucket = "media"
origin_prefix = "pictures/avatars/"
adopt = true
read = "public"
content_types = ["image/jpeg", "image/*"]
max_object_size = "5MiB"
quota = { bytes = "20GiB" }
quota_per_uploader = { objects = 100 }
cache = { max_object_size = "1MiB" }
max_age_s = 300

[categories.voice]
cache = true

[principals]
ops = { role = "admin" }
backend = { role = "service" }
sara = { role = "uploader" }
dashboard = { role = "reader" }

[[statements]]
effect = "allow"
principals = ["backend", "backend/*", "backend/sara:7", "*"]
actions = ["s3:DeleteObject", "s3:Get*", "s3:ListBucket"]
resources = ["demo-voice/tmp/*", "arn:aws:s3:::demo-pictures", "*", "made-by-a-client/*"]

[[statements]]
name = "no writes from outside"
effect = "deny"
principals = ["anonymous", "*"]
actions = ["*"]
resources = ["*"]
source_ip = ["10.0.0.0/8", "::1"]
not_source_ip = ["10.0.0.1"]
prefix = ["tmp/", "a?"]
secure_transport = false
"""

_VALUES = st.recursive(
    st.one_of(
        st.integers(),
        st.booleans(),
        st.sampled_from(
            ["ops", "*", "?", "s3:*", "demo-voice/*", "a/", "allow", "public", "5MiB", "10.0.0.0/8", "a/b"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["bytes", "objects", "effect", "max_object_size", "bucket", "x"]), inner, max_size=3
        ),
    ),
    max_leaves=5,
)
_KEYS = [
    *ProjectDocument.model_fields,
    *(f"categories.x.{name}" for name in CategoryDocument.model_fields),
    *(f"statements.{name}" for name in StatementDocument.model_fields),
    "principals.x",
]


def _written(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_written(each)}" for key, each in value.items()) + "}"
    return "[" + ", ".join(map(_written, value)) + "]" if isinstance(value, list) else json.dumps(value)


@st.composite
def written_keys(draw: st.DrawFn) -> str:
    """A text with one key of the language, with a value of any type."""
    table, _, name = draw(st.sampled_from(_KEYS)).rpartition(".")
    header = "[[statements]]" if table == "statements" else f"[{table}]" if table else ""
    return f"{header}\n{name} = {_written(draw(_VALUES))}\n"
