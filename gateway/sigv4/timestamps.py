"""The times of SigV4: `20130524T000000Z` on the wire, epoch seconds inside.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html (step 1: x-amz-date, else Date)
Written by hand because `strptime` costs as much as two verified signatures.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from gateway.bounded import BoundedMap

_SECONDS_A_DAY: Final = 86400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_AMZ_DATE = re.compile(r"[0-9]{8}T(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]Z")
# botocore writes "-0000" where it signs with the Date header.
_HTTP_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ([0-9]{4})"
    r" ([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]) (?:GMT|UTC|[+-]0000)"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_times: BoundedMap[str, int] = BoundedMap(64)  # "20130524T000000Z" -> epoch seconds: many are signed in one second
_midnights: BoundedMap[str, int] = BoundedMap(64)  # "20130524" -> epoch seconds
_days: BoundedMap[int, str] = BoundedMap(64)  # days since the epoch -> "20130524"


def parse_amz_date(text: str) -> int | None:
    """`20130524T000000Z` → epoch seconds; None where it is anything else."""
    time_s = _times.get(text)
    if time_s is None:
        time_s = _parse_amz_date(text)
        if time_s is not None:
            _times.put(text, time_s)
    return time_s


def _parse_amz_date(text: str) -> int | None:
    if _AMZ_DATE.fullmatch(text) is None:
        return None
    midnight = _midnights.get(text[:8])
    if midnight is None:
        midnight = _parse_midnight(text[:8])
        if midnight is None:
            return None
        _midnights.put(text[:8], midnight)
    return midnight + int(text[9:11]) * 3600 + int(text[11:13]) * 60 + int(text[13:15])


def _parse_midnight(day: str) -> int | None:
    """`20130524`, already known to be eight digits → epoch seconds; None where the calendar has no such day."""
    try:
        ordinal = date(int(day[:4]), int(day[4:6]), int(day[6:8])).toordinal()
    except ValueError:
        return None
    return (ordinal - _EPOCH_DAY) * _SECONDS_A_DAY


def parse_http_date(text: str) -> int | None:
    """`Fri, 24 May 2013 00:00:00 GMT` → epoch seconds; None where it is anything else."""
    match = _HTTP_DATE.fullmatch(text)
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    return parse_amz_date(f"{year}{_MONTHS.index(month) + 1:02}{day}T{hour}{minute}{second}Z")


def render_amz_date(epoch_s: int) -> str:
    """Epoch seconds → `20130524T000000Z`."""
    day, seconds = divmod(epoch_s, _SECONDS_A_DAY)
    text = _days.get(day)
    if text is None:
        text = date.fromordinal(_EPOCH_DAY + day).strftime("%Y%m%d")
        _days.put(day, text)
    minutes, second = divmod(seconds, 60)
    return f"{text}T{minutes // 60:02}{minutes % 60:02}{second:02}Z"


def render_iso_date(epoch_s: int) -> str:
    """Epoch seconds → `2013-05-24T00:00:00Z`, as error documents show times; clamped to what a calendar can show."""
    try:
        moment = _EPOCH + timedelta(seconds=epoch_s)
    except OverflowError:
        return "9999-12-31T23:59:59Z"
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
