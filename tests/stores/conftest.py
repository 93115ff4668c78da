"""Tests that are coroutines run on an event loop here as they do in tests/shell."""

from tests.shell.conftest import pytest_generate_tests, pytest_pyfunc_call

__all__ = ["pytest_generate_tests", "pytest_pyfunc_call"]
