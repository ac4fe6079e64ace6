"""Fails at import with the application's own exception."""

raise RuntimeError("the settings are missing")
