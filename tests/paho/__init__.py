"""The drop-in for paho-mqtt, beside the real one."""
