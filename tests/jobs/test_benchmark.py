from __future__ import annotations

from benchmarks.evaluate import measure, rules


async def test_the_benchmark_evaluates_what_it_says() -> None:
    found = await measure(16)
    assert [timing.name for timing in found] == [
        "metrics made once, one new session",
        "evaluated, one new session",
        "evaluated, nothing new",
        "metrics made once, a downtime",
        "evaluated, a downtime",
        "evaluated, nothing new",
    ]
    assert found[4].fires > 0
    assert [timing.fires for timing in found if timing.name == "evaluated, nothing new"] == [0, 0]
    assert all(timing.seconds > 0 for timing in found)


def test_its_rules_are_as_many_as_asked_for_and_nearly_all_different() -> None:
    made = rules(2_000)
    assert len(made) == 2_000
    assert len({str(rule) for rule in made}) > 1_900
