"""Which bundle is live, and swapping it while the service runs."""
