"""The terminal needs no rate limits, but a push says its priority to whatever limiter there is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from telegram.ext import BaseRateLimiter


class Unlimited(BaseRateLimiter[int]):
    """Lets every request pass at once."""

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to put away."""

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,  # noqa: ANN401 - the signature of BaseRateLimiter
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> Any:  # noqa: ANN401 - as above
        """Do the request."""
        del endpoint, data, rate_limit_args
        return await callback(*args, **kwargs)
