"""What a chart shows: a metric named with its arguments, as in a rule, without a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bot.alerts.arguments import COMPARISON
from bot.alerts.grammar import parse_rule
from bot.errors import BadInput

if TYPE_CHECKING:
    from bot.analytics.metrics import Argument, Metric
    from bot.analytics.windows import Window


def parse_subject(
    text: str, windows: Sequence[Window], registry: Mapping[str, Metric]
) -> tuple[Metric, dict[str, Argument], Window | None]:
    """Metric, its arguments and the span to show; raises BadInput.

    Of `windows` the first belongs to the metric if it takes one (a `since` also where it takes a
    date), the next is the span; a lone window of a metric that takes none is the span.
    """
    try:
        return _parse(text, windows, registry)
    except BadInput as error:
        raise BadInput(_without_comparison(error.sentence), error.example) from error


def _parse(
    text: str, windows: Sequence[Window], registry: Mapping[str, Metric]
) -> tuple[Metric, dict[str, Argument], Window | None]:
    """The grammar reads whole rules: the subject is that of a rule whose target needs no unit."""
    metric = registry[parse_rule(f"{text} > 0", registry).conditions[0].metric]
    kinds = {parameter.kind for parameter in metric.parameters}
    left = list(windows)
    if left and ("window" in kinds or ("date" in kinds and left[0].since is not None)):
        text += f" {left.pop(0)}"
    condition = parse_rule(f"{text} > 0", registry).conditions[0]
    return metric, dict(condition.arguments), left[0] if left else None


def _without_comparison(sentence: str) -> str:
    """What the grammar says of a rule, said of a subject, which has no comparison."""
    return sentence.replace(f" or {COMPARISON}", "").replace(COMPARISON, "nothing more")
