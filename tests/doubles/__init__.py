"""Stand-ins for what Thumbseal talks to, each as badly behaved as the real thing."""
