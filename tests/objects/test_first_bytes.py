"""Bodies are of their content type whichever way they come in; what is refused leaves nothing behind."""

from dataclasses import replace

import pytest

from gateway.errors import Code, S3Error
from gateway.objects.bodies import IncomingBody
from gateway.objects.complete import MIN_PART_SIZE, CompleteRequest, complete_upload
from gateway.objects.copy import CopyRequest, copy_object
from gateway.objects.multipart import copy_part, create_upload, put_part
from gateway.objects.put import Attributes, put_object
from gateway.policy.media_types import HEAD_SIZE
from gateway.s3.conditions import Conditions
from gateway.s3.documents import CompletePart
from tests.support.data import pattern
from tests.support.house import LARGE, VOICE, body_of
from tests.support.media import HTML, JPEG, PNG

PICTURES = ("image/png", "image/jpeg")
AS_PNG = Attributes({"content-type": "image/png"})
LARGE_PNG, LARGE_JPEG = PNG + pattern(LARGE), JPEG + pattern(LARGE)
FIRST_PNG, FIRST_JPEG = PNG + pattern(MIN_PART_SIZE), JPEG + pattern(MIN_PART_SIZE)


def restricted(house, key="k", bucket=VOICE):
    return replace(house.target(key, bucket), content_types=PICTURES)


async def is_refused(work) -> None:
    with pytest.raises(S3Error) as refused:
        await work
    assert refused.value.code is Code.InvalidRequest
    assert "image/png, image/jpeg" in refused.value.message


async def nothing_is_there(house, origin) -> None:
    await house.settle()
    assert await house.get("k", "demo-voice") is None
    house.is_clean(origin.locations)


@pytest.mark.parametrize("data", [PNG, LARGE_PNG, b""])
@pytest.mark.parametrize("piece", [1, 7, HEAD_SIZE - 1, HEAD_SIZE, HEAD_SIZE + 1, 100_000])
async def test_a_body_of_its_type_arrives_as_it_was_sent_in_pieces_of_any_size(house, origin, data, piece):
    data = data[: 3 * HEAD_SIZE] if piece < 10 else data
    record = await put_object(house.rooms, restricted(house), body_of(data, piece=piece), AS_PNG, None)
    assert await house.read(record) == data
    assert record.headers == {"content-type": "image/png"}
    await house.settle()
    house.is_clean(origin.locations)


@pytest.mark.parametrize("data", [JPEG, LARGE_JPEG, HTML, HTML + bytes(LARGE)])
@pytest.mark.parametrize("piece", [1, HEAD_SIZE, 100_000])
async def test_a_body_of_another_type_leaves_nothing(house, origin, data, piece):
    data = data[: 3 * HEAD_SIZE] if piece == 1 else data
    await is_refused(put_object(house.rooms, restricted(house), body_of(data, piece=piece), AS_PNG, None))
    await nothing_is_there(house, origin)
    assert "finish" not in origin.faults.seen


async def test_nothing_reaches_the_origin_before_the_first_bytes_are_known(house, origin):
    arrived = []

    async def pieces():
        for start in range(0, len(LARGE_JPEG), 100):
            arrived.append(start)
            yield memoryview(LARGE_JPEG)[start : start + 100]

    await is_refused(put_object(house.rooms, restricted(house), IncomingBody(len(LARGE_JPEG), pieces()), AS_PNG, None))
    assert len(arrived) == HEAD_SIZE // 100 + 1, "and no more is read than is looked at"
    assert "write" not in origin.faults.seen


async def test_a_type_that_is_not_listed_is_refused_before_the_body_is_read(house, origin):
    async def pieces():
        raise AssertionError("the body was read")
        yield b""

    gif = Attributes({"content-type": "image/gif"})
    await is_refused(put_object(house.rooms, restricted(house), IncomingBody(5, pieces()), gif, None))
    await nothing_is_there(house, origin)
    assert origin.faults.seen == []


async def test_a_body_that_replaces_an_object_and_is_refused_leaves_it(house):
    await put_object(house.rooms, restricted(house), body_of(PNG), AS_PNG, None)
    await is_refused(put_object(house.rooms, restricted(house), body_of(HTML), AS_PNG, None))
    assert await house.get("k", "demo-voice") == PNG


@pytest.mark.parametrize("declared", ["image/png", "binary/octet-stream"])
@pytest.mark.parametrize("data", [PNG, LARGE_PNG])
async def test_a_copy_of_its_type_is_made_and_keeps_its_header(house, data, declared):
    kept = Attributes({"content-type": declared})
    source = await house.put("source", data, attributes=kept)
    record = await copy_object(house.rooms, source, CopyRequest(restricted(house), lambda _: kept))
    assert await house.read(record) == data
    assert record.headers["content-type"] == declared


@pytest.mark.parametrize(("declared", "data"), [("image/png", JPEG), ("image/png", LARGE_JPEG), ("text/plain", PNG)])
async def test_a_copy_of_another_type_leaves_nothing(house, origin, declared, data):
    source = await house.put("source", data)
    kept = Attributes({"content-type": declared})
    await is_refused(copy_object(house.rooms, source, CopyRequest(restricted(house), lambda _: kept)))
    await nothing_is_there(house, origin)


async def test_a_copy_whose_source_is_replaced_meanwhile_is_checked_as_it_is_now(house, origin):
    source = await house.put("source", PNG)
    await house.put("source", HTML)
    await house.settle()
    await is_refused(copy_object(house.rooms, source, CopyRequest(restricted(house), lambda _: AS_PNG)))
    await nothing_is_there(house, origin)


async def begun(house, attributes=AS_PNG):
    return await create_upload(house.rooms, restricted(house), "ops", attributes, None, None)


async def part(house, upload, number, data, content_types=PICTURES) -> CompletePart:
    body = body_of(data, piece=1 << 20)
    stored, _ = await put_part(house.rooms, upload, number, body, content_types=content_types)
    return CompletePart(number, stored.etag, {})


def complete(house, upload, *listed):
    return complete_upload(house.rooms, upload, CompleteRequest(listed, content_types=PICTURES))


async def test_an_upload_of_a_type_that_is_not_listed_does_not_begin(house):
    await is_refused(begun(house, Attributes({"content-type": "video/mp4"})))
    assert house.count("uploads") == 0


async def test_part_one_is_refused_when_it_comes(house):
    upload = await begun(house)
    await is_refused(part(house, upload, 1, FIRST_JPEG))
    assert await house.store.uploads.parts(upload.upload_id) == []


async def test_parts_of_the_listed_type_become_an_object(house):
    upload = await begun(house)
    second = await part(house, upload, 2, b"<html> is no beginning here")
    first = await part(house, upload, 1, FIRST_PNG)
    record = await complete(house, upload, first, second)
    assert record.size == len(FIRST_PNG) + 27
    assert await complete(house, upload, first, second) == replace(record, headers={}, uploader=record.uploader)


@pytest.mark.parametrize("number", [2, 5, 10_000])
async def test_whichever_part_comes_first_in_the_list_is_looked_at(house, number):
    upload = await begun(house)
    first = await part(house, upload, 1, FIRST_PNG)
    wrong = await part(house, upload, number, FIRST_JPEG)
    await is_refused(complete(house, upload, wrong))
    assert await house.get("k", "demo-voice") is None
    await complete(house, upload, first, wrong)


async def test_a_refused_complete_leaves_the_upload_to_be_mended(house):
    upload = await begun(house)
    wrong = await part(house, upload, 1, FIRST_JPEG, content_types=())  # from before the category had its list
    await is_refused(complete(house, upload, wrong))
    await complete(house, upload, await part(house, upload, 1, FIRST_PNG))
    assert await house.get("k", "demo-voice") == FIRST_PNG


async def test_an_upload_from_before_the_list_is_asked_for_its_declared_type_too(house):
    upload = await create_upload(
        house.rooms, house.target("k", VOICE), "ops", Attributes({"content-type": "image/gif"}), None, None
    )
    await is_refused(complete(house, upload, await part(house, upload, 1, FIRST_PNG, content_types=())))


async def test_a_part_that_is_copied_is_looked_at_where_it_is_the_first(house):
    upload = await begun(house)
    source = await house.put("source", PNG + FIRST_JPEG)

    async def copied(number, offset):
        last = f"bytes={offset}-{source.size - 1}"
        made = await copy_part(house.rooms, upload, number, source, last, Conditions(), content_types=PICTURES)
        return CompletePart(number, made.etag, {})

    await is_refused(copied(1, len(PNG)))
    wrong, right = await copied(3, len(PNG)), await copied(2, 0)
    await is_refused(complete(house, upload, wrong))
    await complete(house, upload, right, wrong)


async def test_without_a_list_nothing_is_looked_at(house, origin):
    await house.put("a", HTML, attributes=AS_PNG)
    source = await house.find("a")
    assert source is not None
    origin.faults.seen.clear()
    await copy_object(house.rooms, source, CopyRequest(house.target("b"), lambda _: AS_PNG))
    upload = await create_upload(house.rooms, house.target("c"), "ops", AS_PNG, None, None)
    listed = await part(house, upload, 1, HTML, content_types=())
    await complete_upload(house.rooms, upload, CompleteRequest([listed]))
    assert not {"open", "read"} & set(origin.faults.seen)
