"""The desk of the jobs' tests: real services on a database whose prices and clock a test sets."""

from tests.jobs.conftest import desk, path, quiet

__all__ = ["desk", "path", "quiet"]
