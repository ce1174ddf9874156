"""The browser of the other browser tests."""

from tests.browser.conftest import browser, context

__all__ = ["browser", "context"]
