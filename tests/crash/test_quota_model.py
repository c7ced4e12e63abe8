"""The books of a running gateway beside a plain model: the same answers and the same usage after every operation."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.support.caller import Caller, complete_document, parse_xml, text
from tests.support.gateway import Gateway
from tests.support.oracle import recorded_usage, usage_is_the_sum_of_the_objects
from tests.support.raw_http import Answer

BYTES, OBJECTS = 100, 4
POLICY = f"""
project = "demo"
[categories.limited]
quota = {{ bytes = {BYTES}, objects = {OBJECTS} }}
[principals.ops]
role = "admin"
"""
OTHER = 'project = "other"\n[principals.ops]\nrole = "admin"\n'
BUCKET = "demo-limited"
KEYS = st.sampled_from("abcdef")
SIZES = st.one_of(st.integers(0, 60), st.just(BYTES), st.just(BYTES + 1))


@dataclass
class Upload:
    """An open upload of the model: the parts' sizes and ETags, and the object it has reserved."""

    key: str
    slot: int
    parts: dict[int, tuple[int, str]] = field(default_factory=dict)

    @property
    def held(self) -> int:
        return sum(size for size, _ in self.parts.values())


class Books(RuleBasedStateMachine):
    """Fifty lines of arithmetic, and a gateway that must agree."""

    caller: Caller
    gateway: Gateway

    @initialize()
    def empty(self) -> None:
        for upload in parse_xml(self.caller.call("GET", f"/{BUCKET}?uploads").body).findall("Upload"):
            self.caller.call("DELETE", f"/{BUCKET}/{upload.findtext('Key')}?uploadId={upload.findtext('UploadId')}")
        for key in self.caller.keys(BUCKET):
            self.caller.call("DELETE", f"/{BUCKET}/{key}")
        self.objects: dict[str, int] = {}
        self.uploads: dict[str, Upload] = {}

    def room(self, size: int, objects: int) -> bool:
        """Would the totals, used and reserved, stay within the limits? What does not grow is never refused."""
        total = sum(self.objects.values()) + sum(upload.held for upload in self.uploads.values())
        count = len(self.objects) + sum(upload.slot for upload in self.uploads.values())
        return (size <= 0 or total + size <= BYTES) and (objects <= 0 or count + objects <= OBJECTS)

    def fits(self, key: str, size: int) -> bool:
        return self.room(size - self.objects.get(key, 0), 0 if key in self.objects else 1)

    def agree(self, answer: Answer, fits: bool) -> bool:
        if fits:
            assert answer.status in (200, 204), answer
        else:
            assert text(parse_xml(answer.body), "Code") == "QuotaExceeded", answer
        return fits

    @rule(key=KEYS, size=SIZES)
    def put(self, key: str, size: int) -> None:
        if self.agree(self.caller.call("PUT", f"/{BUCKET}/{key}", bytes(size)), self.fits(key, size)):
            self.objects[key] = size
        self.check()

    @precondition(lambda self: self.objects)
    @rule(data=st.data(), key=KEYS)
    def copy(self, data: st.DataObject, key: str) -> None:
        source = data.draw(st.sampled_from(sorted(self.objects)))
        headers = [("x-amz-copy-source", f"/{BUCKET}/{source}"), ("x-amz-metadata-directive", "REPLACE")]
        fits = self.fits(key, self.objects[source])
        if self.agree(self.caller.call("PUT", f"/{BUCKET}/{key}", b"", headers), fits):
            self.objects[key] = self.objects[source]
        self.check()

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.agree(self.caller.call("DELETE", f"/{BUCKET}/{key}"), True)
        self.objects.pop(key, None)
        self.check()

    @rule(key=KEYS)
    def begin(self, key: str) -> None:
        slot = 0 if key in self.objects else 1
        answer = self.caller.call("POST", f"/{BUCKET}/{key}?uploads=")
        if self.agree(answer, self.room(0, slot)):
            self.uploads[text(parse_xml(answer.body), "UploadId")] = Upload(key, slot)
        self.check()

    @precondition(lambda self: self.uploads)
    @rule(data=st.data(), number=st.integers(1, 3), size=SIZES)
    def part(self, data: st.DataObject, number: int, size: int) -> None:
        upload_id = data.draw(st.sampled_from(sorted(self.uploads)))
        upload = self.uploads[upload_id]
        target = f"/{BUCKET}/{upload.key}?partNumber={number}&uploadId={upload_id}"
        answer = self.caller.call("PUT", target, bytes(size))
        if self.agree(answer, self.room(size - upload.parts.get(number, (0, ""))[0], 0)):
            upload.parts[number] = size, answer.header("etag") or ""
        self.check()

    @precondition(lambda self: any(upload.parts for upload in self.uploads.values()))
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        upload_id = data.draw(st.sampled_from(sorted(name for name, upload in self.uploads.items() if upload.parts)))
        upload = self.uploads[upload_id]
        number, (size, etag) = next(iter(upload.parts.items()))
        old = self.objects.get(upload.key)
        fits = self.room(size - (old or 0) - upload.held, (0 if old is not None else 1) - upload.slot)
        answer = self.caller.complete(BUCKET, upload.key, upload_id, complete_document([(number, etag)]))
        if self.agree(answer, fits):
            del self.uploads[upload_id]
            self.objects[upload.key] = size
        self.check()

    @precondition(lambda self: self.uploads)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        upload_id = data.draw(st.sampled_from(sorted(self.uploads)))
        upload = self.uploads.pop(upload_id)
        self.agree(self.caller.call("DELETE", f"/{BUCKET}/{upload.key}?uploadId={upload_id}"), True)
        self.check()

    def check(self) -> None:
        scope = ("demo", "limited", "")
        held = sum(upload.held for upload in self.uploads.values()), sum(each.slot for each in self.uploads.values())
        used = sum(self.objects.values()), len(self.objects)
        assert recorded_usage(self.gateway).get(scope, (0, 0)) == used
        assert recorded_usage(self.gateway, "reserved_bytes, reserved_objects").get(scope, (0, 0)) == held


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    policies = {"demo": POLICY, "other": OTHER}
    with Gateway(tmp_path_factory.mktemp("books"), policies=policies) as gateway:
        yield gateway


def test_the_books_say_what_a_plain_model_says_after_every_operation(limited: Gateway):
    class Running(Books):
        gateway = limited
        caller = Caller.of(limited)

    run_state_machine_as_test(
        Running,
        settings=settings(
            max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    usage_is_the_sum_of_the_objects(limited)
