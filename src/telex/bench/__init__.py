"""``telex bench``: load for any broker, and what came of it, counted and timed.

A ``plan`` says what is asked; ``run`` carries it out, in one process or several; a ``result`` says what happened, and
``table``, ``picture`` and JSON show it. Nothing here knows one broker from another.
"""
