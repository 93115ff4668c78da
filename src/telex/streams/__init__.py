"""How bytes come and go: one file a transport. Knows nothing of what the bytes say."""
