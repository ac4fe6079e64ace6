"""Fails at import for a module of its own that is not there."""

import no_such_module_of_the_shop  # type: ignore[import-not-found]  # noqa: F401
