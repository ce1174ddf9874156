"""A chatbot's backend as it really is: frameworks, OpenTelemetry, and the SDKs of others."""
