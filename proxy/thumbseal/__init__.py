"""A proxy between a chat UI in a browser and the place where a team looks at its conversations."""

__version__ = "0.1.0"
