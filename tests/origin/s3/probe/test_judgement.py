"""What outcomes mean: verdicts, advice, and the line for gateway.toml."""

import pytest

from gateway.config import parse_settings
from gateway.origin.providers import PROVIDERS, profile_of
from gateway.origin.s3.probe.judgement import Verdict, differences, judge, measured, render_capabilities
from gateway.origin.s3.probe.outcomes import Outcome
from gateway.origin.s3.probe.rows import ROWS, Row, Weight
from gateway.origin.s3.probe.run import STEPS
from gateway.origin_settings import OriginCapabilities

GENERIC = PROVIDERS["generic"]
AWS = PROVIDERS["aws"]


def verdict(outcome: Outcome, profile=GENERIC) -> Verdict:
    [judged] = judge({outcome.name: outcome}, profile)
    return judged.verdict


def test_every_capability_is_a_row_and_every_step_gives_rows():
    flags = {row.name for row in ROWS if row.weight is Weight.FLAG}
    assert flags == set(OriginCapabilities.model_fields)
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    given = {name for step in STEPS for name in step.names} | {"reachable", "clock_skew_s", "certificate_days"}
    assert given == set(names)


def test_a_step_needs_only_what_comes_before_it():
    known = {"reachable"}
    for step in STEPS:
        assert set(step.needs) <= known, step.names
        known |= set(step.names)


def test_every_row_that_is_no_capability_has_advice():
    assert [row.name for row in ROWS if row.weight is not Weight.FLAG and not row.advice] == []


@pytest.mark.parametrize(
    ("value", "profile", "expected"),
    [
        (True, AWS, Verdict.OK),
        (False, GENERIC, Verdict.OK),
        (True, GENERIC, Verdict.NOTE),
        (False, AWS, Verdict.FAIL),
        (None, AWS, Verdict.NOTE),
    ],
)
def test_a_capability_is_judged_by_what_the_settings_say(value, profile, expected):
    assert verdict(Outcome("tagging", value), profile) is expected


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome("put", True), Verdict.OK),
        (Outcome("put", False, "403 AccessDenied"), Verdict.FAIL),
        (Outcome("put", None, "no answer"), Verdict.FAIL),
        (Outcome("put", None, tried=False), Verdict.UNKNOWN),
        (Outcome("trailer", False), Verdict.NOTE),
        (Outcome("trailer", None, "no answer"), Verdict.NOTE),
        (Outcome("versioning", True), Verdict.NOTE),
        (Outcome("versioning", False), Verdict.OK),
        (Outcome("clock_skew_s", -60), Verdict.OK),
        (Outcome("clock_skew_s", 61), Verdict.NOTE),
        (Outcome("clock_skew_s", 900), Verdict.NOTE),
        (Outcome("clock_skew_s", -901), Verdict.FAIL),
        (Outcome("certificate_days", 15), Verdict.OK),
        (Outcome("certificate_days", 14), Verdict.NOTE),
        (Outcome("metadata_bytes", 2048), Verdict.OK),
        (Outcome("metadata_bytes", 0), Verdict.NOTE),
        (Outcome("left_before", 0), Verdict.OK),
        (Outcome("left_before", 3), Verdict.NOTE),
    ],
)
def test_needs_fail_facts_are_noted_and_what_was_not_tried_is_no_fault(outcome, expected):
    assert verdict(outcome) is expected


def test_the_line_names_only_what_is_not_the_presets():
    found = {"tagging": True, "copy_object": False, "batch_delete": True}
    assert render_capabilities(found, GENERIC, {}) == "capabilities = { batch_delete = true, tagging = true }"
    assert render_capabilities({"tagging": True}, AWS, {}) == "capabilities = {}"


def test_overrides_that_were_not_measured_stay():
    line = render_capabilities({"tagging": True}, GENERIC, {"copy_object": True, "tagging": False})
    assert line == "capabilities = { copy_object = true, tagging = true }"


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("value", [True, False])
def test_the_line_leaves_no_difference(provider, value, tmp_path):
    found = dict.fromkeys(OriginCapabilities.model_fields, value)
    line = render_capabilities(found, PROVIDERS[provider], {})
    text = f'[store]\npath = "s"\n[secrets]\nkey_ring = "k"\n[policies]\npath = "p"\n[origins.far]\nkind = "s3"\nprovider = "{provider}"\nendpoint = "https://far.example"\n{line}\n'
    settings = parse_settings(text, tmp_path / "gateway.toml").origins["far"]
    assert settings.kind == "s3"
    assert differences(found, profile_of(provider, settings.capabilities.known())) == {}


def test_only_capabilities_that_were_learned_are_measured():
    outcomes = {
        each.name: each for each in (Outcome("tagging", None), Outcome("copy_object", False), Outcome("put", True))
    }
    assert measured(outcomes) == {"copy_object": False}


def test_rows_come_in_the_tables_order():
    outcomes = {name: Outcome(name, True) for name in ("multipart", "put", "reachable")}
    assert [each.row.name for each in judge(outcomes, GENERIC)] == ["reachable", "put", "multipart"]
    assert isinstance(judge(outcomes, GENERIC)[0].row, Row)
