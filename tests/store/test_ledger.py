"""The ledger: what is reserved and used never exceeds a limit, never counts twice, never goes below nothing."""

import sqlite3
from collections import Counter
from random import Random

import pytest

from gateway.errors import Code, S3Error
from gateway.policy.model import Quota
from gateway.store.ledger import (
    NO_LIMITS,
    NOTHING,
    Account,
    Allowance,
    Amount,
    Near,
    UsageRow,
    exchange,
    give_back,
    read_usage,
    release,
    reserve,
    settle,
    tightest,
)
from gateway.store.migrate import migrate

ANN, BOB, VOICE = Account("demo", "media", "ann"), Account("demo", "media", "bob"), Account("demo", "voice", "ann")
TEN = Allowance(category=Quota(bytes=10))
TWO = Allowance(category=Quota(objects=2))


@pytest.fixture
def books():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, check=False)
    yield connection
    connection.close()


def totals(connection, category="media", uploader="") -> tuple[int, ...]:
    row = connection.execute(
        "SELECT bytes, objects, reserved_bytes, reserved_objects FROM usage "
        "WHERE project = 'demo' AND category = ? AND uploader = ?",
        (category, uploader),
    ).fetchone()
    return row or (0, 0, 0, 0)


def refused(refusal: S3Error | None) -> dict[str, str | int]:
    assert refusal is not None
    assert refusal.code is Code.QuotaExceeded
    return refusal.fields


async def test_every_object_counts_for_its_project_its_category_and_its_uploader(store):
    def work(connection: sqlite3.Connection) -> None:
        for account, size in ((ANN, 5), (BOB, 7), (VOICE, 1)):
            settle(connection, account, Amount(size, 1), NOTHING, NO_LIMITS)
        reserve(connection, BOB, Amount(3, 1), NO_LIMITS)

    await store.database.write(work)
    assert await read_usage(store.database, "demo") == [
        UsageRow("demo", None, None, 13, 3, 3, 1),
        UsageRow("demo", "media", None, 12, 2, 3, 1),
        UsageRow("demo", "media", "ann", 5, 1),
        UsageRow("demo", "media", "bob", 7, 1, 3, 1),
        UsageRow("demo", "voice", None, 1, 1),
        UsageRow("demo", "voice", "ann", 1, 1),
    ]
    assert await read_usage(store.database) == await read_usage(store.database, "demo")
    assert await read_usage(store.database, "nobody") == []


async def test_what_is_empty_again_is_not_told(store):
    await store.database.write(lambda c: settle(c, ANN, Amount(5, 1), NOTHING, NO_LIMITS))
    await store.database.write(lambda c: give_back(c, ANN, Amount(5, 1)))
    assert await read_usage(store.database) == []


def test_a_reservation_fits_to_the_last_byte_and_not_one_more(books):
    assert reserve(books, ANN, Amount(6, 1), TEN) is None
    assert refused(reserve(books, BOB, Amount(5, 1), TEN)) == {
        "Scope": "category media", "Unit": "bytes", "Limit": 10, "Used": 6, "Requested": 5,
    }  # fmt: skip
    assert totals(books) == (0, 0, 6, 1)
    assert reserve(books, BOB, Amount(4, 1), TEN) is None
    assert reserve(books, BOB, Amount(0, 1), TEN) is None


def test_objects_are_counted_too(books):
    assert reserve(books, ANN, Amount(0, 1), TWO) is None
    settle(books, ANN, Amount(0, 1), Amount(0, 1), TWO)
    assert reserve(books, BOB, Amount(0, 1), TWO) is None
    assert refused(reserve(books, BOB, Amount(0, 1), TWO))["Unit"] == "objects"


@pytest.mark.parametrize(
    ("allowance", "scope"),
    [
        (Allowance(uploader=Quota(bytes=5)), "uploader ann in category media"),
        (Allowance(category=Quota(bytes=5)), "category media"),
        (Allowance(project=Quota(bytes=5)), "project demo"),
        (Allowance(Quota(bytes=5), Quota(bytes=5), Quota(bytes=5)), "uploader ann in category media"),
    ],
)
def test_the_scope_that_was_full_is_named(books, allowance, scope):
    assert refused(reserve(books, ANN, Amount(6, 1), allowance))["Scope"] == scope
    assert totals(books) == (0, 0, 0, 0)


def test_each_scope_has_its_own_room(books):
    assert reserve(books, ANN, Amount(5, 1), Allowance(uploader=Quota(bytes=5))) is None
    assert reserve(books, BOB, Amount(5, 1), Allowance(uploader=Quota(bytes=5))) is None
    assert reserve(books, VOICE, Amount(5, 1), Allowance(category=Quota(bytes=5))) is None
    refused(reserve(books, VOICE, Amount(1, 1), Allowance(project=Quota(bytes=15))))


def test_what_is_released_can_be_taken_again(books):
    assert reserve(books, ANN, Amount(10, 1), TEN) is None
    release(books, ANN, Amount(10, 1))
    assert reserve(books, BOB, Amount(10, 1), TEN) is None
    assert totals(books, uploader="ann") == (0, 0, 0, 0)


def test_what_was_reserved_may_be_used_after_the_limit_was_lowered(books):
    assert reserve(books, ANN, Amount(10, 1), TEN) is None
    settle(books, ANN, Amount(10, 1), Amount(10, 1), Allowance(category=Quota(bytes=1)))
    assert totals(books) == (10, 1, 0, 0)
    refused(reserve(books, ANN, Amount(1, 1), Allowance(category=Quota(bytes=1))))
    assert reserve(books, ANN, Amount(0, 0), Allowance(category=Quota(bytes=1))) is None


@pytest.mark.parametrize("size", [1, 4, 10])
def test_m05_an_overwrite_counts_its_difference_and_no_object(books, size):
    settle(books, ANN, Amount(4, 1), NOTHING, TEN)
    held = Amount(size - 4).positive
    assert reserve(books, ANN, held, TEN) is None
    settle(books, ANN, Amount(size, 1), held, TEN, replaced=Amount(4, 1), replaced_uploader="ann")
    assert totals(books) == totals(books, uploader="ann") == (size, 1, 0, 0)


def test_an_overwrite_whose_object_went_meanwhile_is_decided_anew(books):
    settle(books, ANN, Amount(8, 1), NOTHING, TEN)
    assert reserve(books, ANN, NOTHING, TEN) is None  # 8 bytes in place of 8
    give_back(books, ANN, Amount(8, 1))
    settle(books, BOB, Amount(5, 1), NOTHING, TEN)
    with pytest.raises(S3Error) as refusal:
        settle(books, ANN, Amount(8, 1), NOTHING, TEN)
    assert refused(refusal.value)["Used"] == 5
    assert totals(books) == (5, 1, 0, 0)


def test_an_object_that_changes_hands_is_charged_to_the_new_ones(books):
    settle(books, ANN, Amount(4, 1), NOTHING, NO_LIMITS)
    assert reserve(books, BOB, Amount(7, 1), NO_LIMITS) is None
    settle(books, BOB, Amount(7, 1), Amount(7, 1), NO_LIMITS, replaced=Amount(4, 1), replaced_uploader="ann")
    assert totals(books, uploader="ann") == (0, 0, 0, 0)
    assert totals(books, uploader="bob") == (7, 1, 0, 0)
    assert totals(books) == (7, 1, 0, 0)


def test_m11_a_part_that_is_stored_again_counts_its_difference(books):
    assert reserve(books, ANN, Amount(6), TEN) is None
    exchange(books, ANN, Amount(6), Amount(6), TEN)
    assert totals(books) == (0, 0, 6, 0)
    assert reserve(books, ANN, Amount(3), TEN) is None  # 9 in place of 6
    exchange(books, ANN, Amount(3), Amount(3), TEN)
    assert totals(books) == (0, 0, 9, 0)
    exchange(books, ANN, Amount(2 - 9), NOTHING, TEN)
    assert totals(books) == (0, 0, 2, 0)


def test_more_than_was_charged_ends_at_nothing_and_keeps_nobody_from_going_on(books):
    settle(books, ANN, Amount(5, 1), NOTHING, NO_LIMITS)
    give_back(books, ANN, Amount(6, 2))
    release(books, ANN, Amount(6, 2))
    assert totals(books) == (0, 0, 0, 0)


HUNDRED = Allowance(category=Quota(bytes=100))


def near(percent: int) -> tuple[Near, ...]:
    return (Near("demo", "category media", "bytes", 100, percent),)


def store_bytes(books, size: int, allowance: Allowance = HUNDRED, account: Account = ANN) -> tuple[Near, ...]:
    return settle(books, account, Amount(size, 1), NOTHING, allowance)


def test_a_limit_is_near_at_80_and_at_95_percent_and_told_once_each(books):
    told = [store_bytes(books, size) for size in (79, 1, 14, 1, 1, 4)]
    assert told == [(), near(80), (), near(95), (), ()]


def test_both_thresholds_passed_at_once_are_told_once(books):
    assert store_bytes(books, 99) == near(99)


def test_a_limit_is_near_again_only_after_its_use_fell_below(books):
    assert store_bytes(books, 80) == near(80)
    give_back(books, ANN, Amount(1, 0))
    assert store_bytes(books, 1) == near(80)
    assert settle(books, ANN, Amount(5, 1), NOTHING, HUNDRED, replaced=Amount(5, 1), replaced_uploader="ann") == ()


def test_what_is_only_reserved_brings_no_limit_near(books):
    assert reserve(books, ANN, Amount(90, 1), HUNDRED) is None
    assert settle(books, BOB, Amount(5, 1), NOTHING, HUNDRED) == ()


def test_every_scope_and_unit_is_told_of_its_own(books):
    limits = Allowance(Quota(bytes=100), Quota(objects=1), Quota(bytes=50, objects=10))
    assert store_bytes(books, 45, limits) == (
        Near("demo", "uploader ann in category media", "bytes", 50, 45),
        Near("demo", "category media", "objects", 1, 1),
    )


def test_an_object_that_changes_hands_brings_its_new_owner_near(books):
    limits = Allowance(category=Quota(bytes=10), uploader=Quota(bytes=10))
    settle(books, ANN, Amount(9, 1), NOTHING, limits)
    told = settle(books, BOB, Amount(9, 1), NOTHING, limits, replaced=Amount(9, 1), replaced_uploader="ann")
    assert told == (Near("demo", "uploader bob in category media", "bytes", 10, 9),)


@pytest.mark.parametrize(("allowance", "statements"), [(NO_LIMITS, 1), (HUNDRED, 2)])
def test_a_commit_without_limits_asks_nothing_and_with_limits_once(books, allowance, statements):
    asked: list[str] = []
    books.set_trace_callback(asked.append)
    store_bytes(books, 85, allowance)
    assert len(asked) == statements


async def test_the_tightest_scope_is_the_one_with_the_least_room(store):
    limits = Allowance(Quota(bytes=100), Quota(objects=1), Quota(bytes=30))
    assert await tightest(store.database, ANN, limits) == (30, 0)
    await store.database.write(lambda c: settle(c, BOB, Amount(80, 1), NOTHING, NO_LIMITS))
    assert await tightest(store.database, ANN, limits) == (100, 80)
    await store.database.write(lambda c: reserve(c, ANN, Amount(15, 1), NO_LIMITS))
    assert await tightest(store.database, ANN, limits) == (100, 95)
    assert await tightest(store.database, ANN, Allowance(category=Quota(objects=1))) is None
    assert await tightest(store.database, ANN, NO_LIMITS) is None


@pytest.mark.parametrize("seed", range(5))
def test_the_books_agree_with_a_plain_model_after_any_writes(books, seed):
    """Writes that begin, end, fail, overwrite and are deleted in any order; limits that come and go."""
    random = Random(seed)
    objects: dict[tuple[str, str], tuple[Account, int]] = {}
    writes: list[tuple[tuple[str, str], Account, int, Amount]] = []
    for _ in range(600):
        allowance = random.choice(
            [NO_LIMITS, TEN, TWO, Allowance(project=Quota(bytes=25)), Allowance(uploader=Quota(8, 3))]
        )
        account = random.choice([ANN, BOB, VOICE])
        name = account.category, random.choice("abc")
        what = random.random()
        if what < 0.45:
            size, old = random.randint(0, 6), objects.get(name)
            same = old is not None and old[0] == account
            held = Amount(size - (old[1] if old and same else 0), 0 if same else 1).positive
            before = {
                each: totals(books, *each) for each in (("media", ""), ("", ""), (account.category, account.uploader))
            }
            if reserve(books, account, held, allowance) is None:
                writes.append((name, account, size, held))
            else:
                assert before == {each: totals(books, *each) for each in before}
        elif what < 0.8 and writes:
            name, account, size, held = writes.pop(random.randrange(len(writes)))
            old = objects.get(name)
            replaced = Amount(old[1], 1) if old else NOTHING
            try:
                settle(
                    books, account, Amount(size, 1), held, allowance,
                    replaced=replaced, replaced_uploader=old[0].uploader if old else None,
                )  # fmt: skip
                objects[name] = account, size
            except S3Error:
                release(books, account, held)
        elif what < 0.9 and writes:
            _, account, _, held = writes.pop(random.randrange(len(writes)))
            release(books, account, held)
        elif objects:
            account, size = objects.pop(random.choice(sorted(objects)))
            give_back(books, account, Amount(size, 1))
        assert_books(books, objects, writes)


def assert_books(books, objects, writes) -> None:
    expected: dict[tuple[str, str], Counter[str]] = {}

    def add(account: Account, **amounts: int) -> None:
        for scope in (("", ""), (account.category, ""), (account.category, account.uploader)):
            expected.setdefault(scope, Counter()).update(amounts)

    for account, size in objects.values():
        add(account, bytes=size, objects=1)
    for _, account, _, held in writes:
        add(account, reserved_bytes=held.bytes, reserved_objects=held.objects)
    for scope, counted in expected.items():
        assert totals(books, *scope) == tuple(
            counted[name] for name in ("bytes", "objects", "reserved_bytes", "reserved_objects")
        ), scope
