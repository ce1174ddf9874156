"""The demo: a chat page, a bot that quotes the documentation, a list of what was recorded."""
