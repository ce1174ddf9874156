"""A server at work for hours: what it takes must not grow, and what it was given must arrive."""
