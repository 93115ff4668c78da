"""The client's end of MQTT: ``connection.py`` knows the protocol, the others the world."""
