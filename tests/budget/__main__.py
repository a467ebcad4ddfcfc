"""Drain 10,000 messages in simulated time and hold the sending against its limits: python -m tests.budget.

The figure is the time that a sender without latency would need, which knows the whole queue and keeps to the
same limits with the same requests answered 429, over the time that was taken.
"""

import logging
import sys
import time

from tests.budget.simulation import Load, run

LEAST = 0.95


def _waits(kind: str, seconds: list[float]) -> str:
    return f"{len(seconds)} {kind}, median {seconds[len(seconds) // 2]:.2f} s, most {seconds[-1]:.1f} s"


def main() -> int:
    """Run with and without 429; exit code 1 unless limits were kept and used, and all came, in order."""
    good = True
    for share in (0.05, 0.0):
        logging.disable(logging.WARNING)
        began = time.monotonic()
        outcome = run(Load(), share)
        second, minute = outcome.busiest()
        used = outcome.ideal() / outcome.seconds
        good &= (second <= 30, minute <= 20, outcome.over_a_second(), outcome.in_halts()) == (True, True, 0, 0)
        good &= used >= LEAST and outcome.overtakes() and not outcome.missing()
        halted = sum(end - began for began, end in outcome.halts())
        replies, late = outcome.waited("reply"), outcome.waited("late")
        print(  # noqa: T201 - the command's voice
            f"{share:.0%} answered 429: {outcome.received:,} messages ({outcome.missing()} missing), "
            f"{len(outcome.sent):,} requests in "
            f"{outcome.seconds:,.0f} s, of which all were halted {halted:,.0f} s\n"
            f"  most in a second {second} (30), most to a group in a minute {minute} (20), "
            f"too soon for their chat {outcome.over_a_second()}, in a halt {outcome.in_halts()}\n"
            f"  used of what limits and halts allow: {used:.1%}\n"
            f"  waits outside halts of all: {_waits('replies', replies)}; {_waits('alerts', late)} "
            f"({time.monotonic() - began:.0f} s)"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
