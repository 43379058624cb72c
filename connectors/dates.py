"""Dates and times, as texts write them, as spans of time."""

from __future__ import annotations

import re
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from typing import NamedTuple

MICROSECOND, MILLISECOND = 10**3, 10**6  # in nanoseconds, as all times here
_SECOND = 10**9
_DAY = 86_400 * _SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# ISO 8601 in its extended form, down to nanoseconds; a space may stand for the T.
_FORM = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"([T ](?P<minute>\d\d:\d\d)(?P<second>:\d\d)?((?<=:\d\d:\d\d)\.(?P<fraction>\d{1,9}))?"
    r"(?P<zone>Z|[+-]\d\d(:?\d\d)?)?)?)?)?",
    re.IGNORECASE | re.ASCII,
)


class Span(NamedTuple):
    """A stretch of time: `gte` within, `lt` outside, in nanoseconds since 1970-01-01T00:00:00Z."""

    gte: int
    lt: int

    def rounded(self, unit: int) -> Span:
        """Widen it to whole multiples of `unit` nanoseconds, for what keeps no finer times."""
        return Span(self.gte // unit * unit, -(-self.lt // unit) * unit)

    def texts(self) -> dict[str, str]:
        """Write its ends in ISO 8601 to the nanosecond."""
        return {"gte": _text(self.gte), "lt": _text(self.lt)}


def read_date(value: str | date) -> Span | None:
    """Read all the time that a date or time stands for; None for what is neither.

    A year, month or day is all of it, a time is as long as its last digit tells: a minute, a
    second, a fraction of one. Without a zone it is UTC's.
    """
    if isinstance(value, datetime):
        start = _ns(value if value.tzinfo else value.replace(tzinfo=UTC))
        return Span(start, start + MICROSECOND)
    found = _FORM.fullmatch(value if isinstance(value, str) else value.isoformat())
    return _span(found) if found else None


def instant(text: str) -> int | None:
    """Read the moment, in nanoseconds, that a stored text stands for: the first of its span.

    None for what is no day or time in a form that all backends read: Qdrant takes no month alone,
    and no zone after minutes.
    """
    if len(text) < len("2024-01-31") or text[4] != "-":  # spares most texts the expression
        return None
    found = _FORM.fullmatch(text)
    if found is None or found["day"] is None or (found["zone"] and not found["second"]):
        return None
    span = _span(found)
    return span.gte if span else None


def _span(found: re.Match[str]) -> Span | None:
    year, month, day = (int(found[name] or 1) for name in ("year", "month", "day"))
    time, zone = found["minute"] or "00:00", (found["zone"] or "Z").upper()
    try:
        start = _ns(
            datetime.fromisoformat(
                f"{year:04}-{month:02}-{day:02}T{time}{found['second'] or ''}{zone}"
            )
        )
    except ValueError:
        return None
    if not FIRST <= start < LAST:  # by its zone
        return None
    if found["fraction"]:
        digits = len(found["fraction"])
        start += int(found["fraction"]) * 10 ** (9 - digits)
        return Span(start, start + 10 ** (9 - digits))
    if found["minute"]:
        return Span(start, start + (_SECOND if found["second"] else 60 * _SECOND))
    if found["day"]:
        return Span(start, start + _DAY)
    after = (year + month // 12, month % 12 + 1) if found["month"] else (year + 1, 1)
    return Span(start, _ns(datetime(*after, 1, tzinfo=UTC)) if after[0] <= MAXYEAR else LAST)


def _ns(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1) * MICROSECOND


def _text(ns: int) -> str:
    ns = max(FIRST, min(ns, LAST - 1))
    second = datetime(1970, 1, 1) + timedelta(seconds=ns // _SECOND)
    return f"{second.isoformat()}.{ns % _SECOND:09}Z"


FIRST = _ns(datetime.min.replace(tzinfo=UTC))
LAST = _ns(datetime.max.replace(tzinfo=UTC)) + MICROSECOND
"""The years 1 to 9999: an open side begins or ends there."""
