"""The HTTP face: what browsers and backends talk to."""
