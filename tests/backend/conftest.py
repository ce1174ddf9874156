"""A real Chromium for the tests of a whole way."""

from tests.browser.conftest import browser, context

__all__ = ["browser", "context"]
