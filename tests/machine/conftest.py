"""What these tests share with those of reliability: a seed, and a line for the figures."""

from tests.reliability.conftest import report, seed

__all__ = ["report", "seed"]
