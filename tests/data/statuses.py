"""How a source stands with a subject, for tests that name only what they are about."""

from __future__ import annotations

import msgspec

from storage.sources import SourceStatus

_USUAL: dict[str, object] = {
    "source": "yahoo",
    "subject": "IWM prices",
    "last_attempt": "2020-12-11T21:20:31Z",
    "last_success": "2020-12-11T21:20:31Z",
    "last_session": "2020-12-11",
    "outcome": "Ok",
    "detail": "",
    "breaker_until": None,
    "rests_until": None,
    "failures": 0,
    "missing": "",
    "payload": None,
    "payload_since": None,
    "address": "",
}


def source_status(**columns: object) -> SourceStatus:
    """A status with these columns, as they are stored."""
    return msgspec.convert({**_USUAL, **columns}, SourceStatus)
