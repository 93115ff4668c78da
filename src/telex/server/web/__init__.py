"""What speaks HTTP: WebSocket's opening handshake, files, the API of Mosquitto's kind. aiohttp does the HTTP itself."""
