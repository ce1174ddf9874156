"""What runs inside a chatbot's own backend. It needs the application's keys, and no server."""
