"""The hooks of tests/conftest.py, for folders that take them from here."""

from tests.conftest import pytest_generate_tests, pytest_pyfunc_call

__all__ = ["pytest_generate_tests", "pytest_pyfunc_call"]
