"""The sample market: eleven years of both funds, so that everything can be tried without a network.

Its rows are in a file that `python -m docs.sample` writes; there it says what of it is published and what is
made up. Every answer made from it says "sample data".
"""

import gzip
from pathlib import Path
from typing import Any

import msgspec

from bot.data.provider import Observations, observations_of
from storage.records import KINDS

SAMPLE_FILE = Path(__file__).with_name("sample.json.gz")


def sample_observations() -> Observations:
    """Bars, distributions, fund facts, multiples and weights of both funds."""
    rows = msgspec.json.decode(gzip.decompress(SAMPLE_FILE.read_bytes()), type=dict[str, list[list[Any]]])
    return observations_of({kind: [KINDS[kind](*row) for row in group] for kind, group in rows.items()})
