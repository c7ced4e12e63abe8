"""bench/report.py: the median decides."""

import json

from bench.report import Result, Sample, Target, render_json, render_table

RESULT = Result(
    "get-64k",
    Target(6.0, "× nginx static"),
    [Sample(value, {"gateway CPU µs": value * 30}) for value in (5.0, 9.0, 4.0)],
)


def test_the_median_is_held_against_the_target():
    assert RESULT.spread == (4.0, 5.0, 9.0)
    assert RESULT.reached
    assert not Result("x", Target(4.9, "ms"), RESULT.samples).reached


def test_a_table_shows_minimum_median_and_maximum():
    table = render_table([RESULT])
    assert "get-64k" in table
    assert "4.0      5.0      9.0  × nginx static" in table
    assert "gateway CPU µs" in table


def test_json_has_every_round():
    (case,) = json.loads(render_json([RESULT]))
    assert case["median"] == 5.0
    assert [each["value"] for each in case["rounds"]] == [5.0, 9.0, 4.0]
