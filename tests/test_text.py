import pytest

from bot.messages.html import capital
from bot.text import clock_time, counted, did_you_mean, listed, nearest


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (0, "session", "0 sessions"),
        (1, "session", "1 session"),
        (2, "summary", "2 summaries"),
        (3, "day", "3 days"),
        (1_250, "row", "1,250 rows"),
    ],
)
def test_a_count_has_its_noun_in_the_number_that_it_needs(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said


@pytest.mark.parametrize(
    ("items", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c", "d"], "a, b, and 2 more")]
)
def test_a_list_ends_with_how_many_more_there_are(items: list[str], said: str) -> None:
    assert listed(items, most=2) == said


def test_only_the_first_letter_becomes_a_capital() -> None:
    assert [capital(words) for words in ("", "losses in, IWM", "Ratio")] == ["", "Losses in, IWM", "Ratio"]


NAMES = ("compare", "flows", "flow_pct", "multiples", "ratio", "ratio_vs_sma")


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("comp", "compare"),
        ("Flow", "flows"),
        ("mulitples", "multiples"),
        ("ratoi", "ratio"),
        ("ratio", "ratio"),
        ("weather", None),
        ("", None),
    ],
)
def test_nearest_name(word: str, name: str | None) -> None:
    assert nearest(word, NAMES) == name


def test_suggestion_is_a_question_or_nothing() -> None:
    assert did_you_mean("flwos", NAMES) == "Did you mean flows?"
    assert did_you_mean("weather", NAMES) == ""
    assert did_you_mean("RATIO_VS", ("Ratio_vs_SMA",)) == "Did you mean Ratio_vs_SMA?"


@pytest.mark.parametrize(
    ("typed", "clock"),
    [
        *(("18:30", "18:30"), ("18.30", "18:30"), ("1830", "18:30"), ("18h30", "18:30"), ("7", "07:00")),
        *(("6:30pm", "18:30"), ("6 PM", "18:00"), ("12am", "00:00"), ("12 p.m.", "12:00"), ("830", "08:30")),
        *(("noon", "12:00"), ("midnight", "00:00"), ("24:00", None), ("13pm", None), ("0am", None)),
        *(("18:60", None), ("7:5", None), ("tea", None), ("", None), ("²", None)),
    ],
)
def test_a_time_of_day_is_read_as_people_write_it(typed: str, clock: str | None) -> None:
    assert clock_time(typed) == clock
