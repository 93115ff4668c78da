"""A drop-in for paho-mqtt: its names, and Telex behind them.

Change ``import paho.mqtt.client as mqtt`` into ``import telex.paho.client as mqtt``, or leave the program as it is and
run it by ``python -m telex.paho program.py``. docs/moving-from-paho.md says what differs.
"""

from telex.paho.exception import MQTTException

__version__ = "2.2.0"
"""The version of paho-mqtt whose names are offered; programs ask for it to know what they can use."""

__all__ = ["MQTTException", "__version__"]
