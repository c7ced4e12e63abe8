"""How the tests of gateway/s3 say that something is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from gateway.errors import Code, S3Error


@contextmanager
def refused(*codes: Code, **fields: str | int) -> Iterator[SimpleNamespace]:
    """What is done inside raises an S3Error with one of these codes and at least these fields; it is `.error`."""
    caught = SimpleNamespace()
    with pytest.raises(S3Error) as raised:
        yield caught
    caught.error = raised.value
    assert raised.value.code in codes, raised.value
    assert {name: raised.value.fields.get(name) for name in fields} == fields
