"""The same programs with real paho-mqtt and with Telex's drop-in: what they see must be the same.

``programs.py`` runs a program with both, ``trace.py`` writes down what it sees, ``played.py`` is the broker that it
talks to, ``values.py`` makes comparable text of what is seen.
"""
