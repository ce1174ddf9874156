"""Replay: pages for people, where conversations are found, read and played as they happened.

Everything shown is untrusted text. The pages work without JavaScript and are better with it; they
write nothing but log-ins and log-outs.
"""
