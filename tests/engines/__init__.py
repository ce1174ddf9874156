"""The widget in Chromium, Firefox and WebKit: one suite, against the real proxy.

`python -m pytest tests/engines` runs it. A missing engine fails, and says what to install.

A test takes a `Stage` and sees a `Page`, whatever the engine behind it; what is new in the widget
gets a file of tests of its own here. `test_drivers.py` holds the three drivers to one behaviour.
"""
