"""``python -m telex.paho`` runs a program that uses paho-mqtt on Telex."""

from telex.paho.takeover import main

if __name__ == "__main__":
    main()
