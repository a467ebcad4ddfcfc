"""Short runs of the two parts of `python -m tests.chaos --kills 500`."""

from collections import Counter
from pathlib import Path

from tests.chaos.judge import costs, judged
from tests.chaos.statements import sweep
from tests.chaos.story import Death, chaos


async def test_killed_now_and_then_nothing_is_lost_and_every_repeat_is_marked(tmp_path: Path) -> None:
    async with chaos(tmp_path, seed=3) as run:
        await run.run(3)
        counts = judged(run)
    assert [str(count) for count in counts if not count.good] == []
    assert run.kills.total() == 3
    early = run.rows("SELECT * FROM outbox WHERE id = 1")
    run.deaths.append(Death(early, Counter(), []))
    (bad,) = [count for count in costs(run) if not count.good]
    assert run.redelivered > 0
    assert str(bad) == "FAIL  messages at the kills that were marked without a slot: 1"


async def test_killed_at_a_statement_a_cycle_is_ended_by_the_next_life(tmp_path: Path) -> None:
    counts = {count.words: count for count in await sweep(tmp_path, every=100)}
    assert [str(count) for count in counts.values() if not count.good] == []
    assert counts["writing statements of one cycle, each died at once"].number >= 2
    assert counts["alerts that should have fired"].number > 0
