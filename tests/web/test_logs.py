"""The program's log: every record is one entry, without a secret, and not more of them than a disk can hold."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from gateway.config import Log
from gateway.web.logs import Throttle, configure_logging, log_handler
from gateway.web.redact import GONE
from tests.support.caller import Caller
from tests.support.gateway import Gateway

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@dataclass
class Kept:
    """A logger that writes into memory."""

    logger: logging.Logger
    stream: io.StringIO

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def kept() -> Iterator[Callable[[str], Kept]]:
    loggers = []

    def make(form: str) -> Kept:
        logger = logging.Logger(f"anbar.{form}", logging.DEBUG)  # noqa: LOG001  (no other test's)
        stream = io.StringIO()
        logger.addHandler(log_handler(form, stream))
        loggers.append(logger)
        return Kept(logger, stream)

    yield make
    for logger in loggers:
        logger.handlers.clear()


@pytest.fixture
def root() -> Iterator[None]:
    """Whatever a test makes of the process's logging is undone."""
    loggers = [logging.getLogger(name) for name in (None, "anbar", "watchfiles")]
    levels, handlers, raises = [each.level for each in loggers], loggers[0].handlers[:], logging.raiseExceptions
    yield
    loggers[0].handlers[:] = handlers
    logging.raiseExceptions = raises
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    structlog.reset_defaults()


def test_text_is_one_line_a_record(kept):
    made = kept("text")
    made.logger.error("request %s failed", "562A")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR anbar\.text: request 562A failed\n", made.text)


def test_json_is_one_object_a_record(kept):
    made = kept("json")
    made.logger.warning("bucket %s: %s", "b", "é\u2028\n")
    assert made.text.count("\n") == 1
    told = json.loads(made.text)
    assert list(told) == ["time", "level", "logger", "message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["time"])
    assert (told["level"], told["logger"], told["message"]) == ("WARNING", "anbar.json", "bucket b: é\u2028\n")


def fails(logger: logging.Logger, text: str) -> None:
    try:
        raise KeyError(text)
    except KeyError:
        logger.exception("it failed")


def test_a_traceback_belongs_to_its_record(kept):
    text, in_json = kept("text"), kept("json")
    fails(text.logger, "why")
    fails(in_json.logger, "why")
    first, *following = text.text.splitlines()
    assert first.endswith("it failed")
    assert following[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in following)
    told = json.loads(in_json.text)
    assert told["exception"].startswith("Traceback (most recent call last):")
    assert told["exception"].endswith("KeyError: 'why'")


@given(st.text())
def test_no_message_makes_a_record_of_its_own(text):
    stream = io.StringIO()
    logger = logging.Logger("anbar.any", logging.DEBUG)  # noqa: LOG001  (no other test's)
    logger.addHandler(log_handler("text", stream))
    logger.error("%s", text)
    first, *following = stream.getvalue().removesuffix("\n").split("\n")
    assert first.startswith("2")
    assert all(line.startswith("    ") for line in following)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028]", stream.getvalue())


@pytest.mark.parametrize("form", ["text", "json"])
def test_planted_secrets_do_not_come_out(kept, form):
    made = kept(form)
    made.logger.error("GET /b/k?X-Amz-Signature=%s&x=1", SECRET)
    made.logger.error("answered %s", {"secret_access_key": SECRET})
    fails(made.logger, f"Authorization: Bearer {SECRET}")
    made.logger.error("asked", extra={"note": f"password={SECRET}"})
    assert SECRET not in made.text
    assert made.text.count(GONE) >= 3


@pytest.mark.parametrize("form", ["text", "json"])
def test_values_that_are_bound_are_told_and_redacted(kept, form):
    made = kept(form)
    bound = structlog.wrap_logger(
        made.logger,
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    ).bind(bucket="demo-media", size=7, session_token=SECRET, headers={"X-Amz-Security-Token": SECRET})
    bound.warning("looked at")
    assert SECRET not in made.text
    assert "demo-media" in made.text
    assert "7" in made.text
    if form == "json":
        assert json.loads(made.text)["session_token"] == GONE


def test_a_burst_is_cut_off_and_its_rest_is_told():
    now_s = [100.0]
    throttle = Throttle(2, 10.0, lambda: now_s[0])
    before = REGISTRY.get_sample_value("anbar_log_left_out_messages_total") or 0.0

    def passes(name: str) -> str | None:
        record = logging.LogRecord(name, logging.ERROR, "", 1, "text", (), None)
        return record.getMessage() if throttle.filter(record) else None

    assert [passes("a") for _ in range(5)] == ["text", "text", None, None, None]
    assert passes("b") == "text", "another logger has its own measure"
    assert REGISTRY.get_sample_value("anbar_log_left_out_messages_total") == before + 3
    now_s[0] += 10.0
    assert [passes("a") for _ in range(3)] == ["(3 further messages were left out) text", "text", None]
    now_s[0] += 10.0
    assert passes("b") == "text"


@pytest.mark.parametrize(("level", "ours", "theirs"), [("debug", 10, 20), ("info", 20, 20), ("error", 40, 40)])
def test_libraries_never_tell_more_than_information(root, level, ours, theirs):
    configure_logging(Log(level=level))
    assert logging.getLogger("anbar.server").getEffectiveLevel() == ours
    assert logging.getLogger("botocore.auth").getEffectiveLevel() == theirs


def test_structlogs_own_loggers_write_into_the_same_log(root, capsys):
    configure_logging(Log(format="json"))
    structlog.get_logger("anbar.other").warning("seen", bucket="b")
    told = json.loads(capsys.readouterr().err)
    assert (told["logger"], told["message"], told["bucket"]) == ("anbar.other", "seen", "b")


QUOTA = """\
project = "demo"

[categories.media]
quota = { objects = 1 }

[principals.ops]
role = "admin"
"""


@pytest.mark.parametrize(("level", "lines"), [("warning", 1), ("error", 0)])
def test_a_gateway_logs_as_its_settings_say(tmp_path, level, lines):
    policies = {"demo": QUOTA, "other": QUOTA.replace("demo", "other")}
    with Gateway(tmp_path, policies=policies, settings={"log": {"level": level, "format": "json"}}) as gateway:
        Caller.of(gateway).put("demo-media", "k", b"bytes")
    told = [json.loads(line) for line in gateway.stderr().splitlines()]
    assert [(each["level"], each["logger"]) for each in told] == [("WARNING", "anbar.quota")] * lines
