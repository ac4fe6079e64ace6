"""What the tests stand on: the server under test, clients good and bad.

Nothing here knows pytest; the fixtures are in ``conftest.py``.
"""
