"""The examples that need packages of npm, as their readers run them.

`make examples` installs what they need and runs them.
"""
