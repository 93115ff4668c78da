"""The asyncio shell around the engine: sockets, time, and what the broker says of itself."""
