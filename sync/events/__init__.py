"""Events of the log as people look at them: list and show them, put them back to work, or ignore them.

`store` reads and changes them, `release` decides which are changed and follows what becomes of them.
"""
