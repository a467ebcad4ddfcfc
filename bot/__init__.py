"""A Telegram bot that compares small caps with large caps and sends alerts."""

import sys

# httpx loads its own command line where rich is installed: 70 modules that no bot needs.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None makes an import of it fail
__version__ = "0.2.0"
