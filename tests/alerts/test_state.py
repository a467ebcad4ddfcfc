from __future__ import annotations

import datetime as dt
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.engine import ConditionValue, Event, Side, State, Status

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DATES = st.dates(dt.date(1993, 1, 1), dt.date(2100, 1, 1))
SIDES = st.builds(
    Side, st.sampled_from(Status), st.integers(0, 250), st.one_of(st.none(), DATES), st.booleans()
)


def tuples(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(values, min_size=1, max_size=3).map(tuple)


@given(
    st.builds(
        State,
        session=DATES,
        bands=tuples(FLOATS),
        sides=tuples(SIDES),
        last_values=tuples(st.one_of(st.none(), FLOATS)),
        cooling=st.integers(0, 250),
        done=st.booleans(),
        figures=tuples(st.builds(ConditionValue, st.one_of(st.none(), FLOATS), FLOATS)),
    )
)
def test_a_state_survives_json_exactly(state: State) -> None:
    assert State.from_json(state.to_json()) == state


@given(
    st.builds(
        Event,
        kind=st.sampled_from(["fired", "still"]),
        session=DATES,
        ops=tuples(st.sampled_from([">", "<="])),
        figures=tuples(st.builds(ConditionValue, FLOATS, FLOATS)),
        levels=tuples(st.one_of(st.none(), FLOATS)),
        previous=tuples(st.one_of(st.none(), FLOATS)),
        since=DATES,
        muted=st.booleans(),
        done=st.booleans(),
    )
)
def test_an_event_survives_json_exactly(event: Event) -> None:
    assert Event.from_json(event.to_json()) == event


STATE = (
    '{"session":"2020-10-06","bands":[0.005],"sides":[{"status":"fired","since":"2020-10-06","unreported":true}],'
    '"last_values":[0.4676],"cooling":3,"figures":[{"value":0.4676,"threshold":null}]}'
)
EVENT = (
    '{"kind":"still","session":"2020-10-08","ops":[">","<="],'
    '"figures":[{"value":0.4676,"threshold":0.46},{"value":null,"threshold":2.0}],"levels":[0.455,null],'
    '"previous":[0.4701,null],"since":"2020-10-06","muted":true}'
)


def test_the_json_of_a_state_leaves_out_what_is_at_its_default() -> None:
    state = State(
        session=dt.date(2020, 10, 6),
        bands=(0.005,),
        sides=(Side(Status.FIRED, 0, dt.date(2020, 10, 6), True),),
        last_values=(0.4676,),
        cooling=3,
        figures=(ConditionValue(0.4676, None),),
    )
    assert state.to_json() == STATE
    assert State.from_json(STATE) == state
    assert isinstance(State.from_json(STATE).sides[0].status, Status)


def test_the_json_of_an_event_leaves_out_what_is_at_its_default() -> None:
    event = Event(
        kind="still",
        session=dt.date(2020, 10, 8),
        ops=(">", "<="),
        figures=(ConditionValue(0.4676, 0.46), ConditionValue(None, 2.0)),
        levels=(0.455, None),
        previous=(0.4701, None),
        since=dt.date(2020, 10, 6),
        muted=True,
    )
    assert event.to_json() == EVENT
    assert Event.from_json(EVENT) == event
    assert (event.value, event.threshold) == (0.4676, 0.46)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("}]}", "}"),  # cut off
        ('"session":"2020-10-06",', ""),
        ('"threshold":null', '"threshold":null,"extra":1'),
        ('"cooling":3', '"cooling":3,"extra":1'),
        ('"cooling":3', '"cooling":"3"'),
        ('"cooling":3', '"cooling":null'),
        ('"2020-10-06","bands"', '"2020-13-06","bands"'),
        ('"fired"', '"tired"'),
        ("[0.005]", "[NaN]"),
        ("[0.005]", "[null]"),
        ("[0.005]", "[1e999]"),
        ("[0.005]", "0.005"),
    ],
)
def test_a_damaged_state_is_refused(old: str, new: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        State.from_json(STATE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"), [('"kind":"still",', ""), ("2.0", "NaN"), ("true", "1"), ("null", '""')]
)
def test_a_damaged_event_is_refused(old: str, new: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        Event.from_json(EVENT.replace(old, new))


@pytest.mark.parametrize(
    ("value", "threshold", "pair"),
    [
        (1.0, 2.0, (1.0, 2.0)),
        (0.0, 0.0, (0.0, 0.0)),
        (None, 2.0, None),
        (1.0, None, None),
        (math.nan, 2.0, None),
        (1.0, math.nan, None),
        (math.inf, 2.0, None),
        (1.0, -math.inf, None),
    ],
)
def test_a_leg_is_missing_unless_both_figures_are_finite(
    value: float | None, threshold: float | None, pair: tuple[float, float] | None
) -> None:
    assert ConditionValue(value, threshold).both == pair


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf, None])
def test_a_plain_leg_has_none_for_what_is_no_figure(figure: float | None) -> None:
    assert ConditionValue(figure, 2.0).finite == ConditionValue(None, 2.0)
    assert ConditionValue(1.0, figure).finite == ConditionValue(1.0, None)
    whole = ConditionValue(1.0, 2.0)
    assert whole.finite is whole


@pytest.mark.parametrize(
    ("statuses", "expected", "count"),
    [
        (["armed"], Status.ARMED, 0),
        (["fired"], Status.FIRED, 0),
        (["confirming"], Status.CONFIRMING, 2),
        (["fired", "armed"], Status.ARMED, 0),
        (["fired", "confirming"], Status.CONFIRMING, 2),
        (["fired", "fired"], Status.FIRED, 0),
    ],
)
def test_the_livelier_side_is_the_status_of_both(statuses: list[str], expected: Status, count: int) -> None:
    sides = tuple(Side(Status(status), 2 if status == "confirming" else 0) for status in statuses)
    state = State(dt.date(2020, 1, 1), (0.0,), sides, (None,))
    assert (state.status, state.count) == (expected, count)
