from benchmarks.evaluate import measure, rules


async def test_the_benchmark_evaluates_what_it_says() -> None:
    timings = await measure(16)
    assert [timing.name for timing in timings] == [
        "metrics made once, one new session",
        "evaluated, one new session",
        "evaluated, nothing new",
        "metrics made once, a downtime",
        "evaluated, a downtime",
        "evaluated, nothing new",
    ]
    assert timings[4].fires > 0
    assert [timing.fires for timing in timings if timing.name == "evaluated, nothing new"] == [0, 0]
    assert all(timing.seconds > 0 for timing in timings)


def test_its_rules_are_as_many_as_asked_for_and_nearly_all_different() -> None:
    made_up = rules(2_000)
    assert len(made_up) == 2_000
    assert len({str(rule) for rule in made_up}) > 1_900
