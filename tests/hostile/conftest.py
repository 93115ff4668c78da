"""Coroutine tests run as those of tests/shell do."""

from tests.shell.conftest import pytest_generate_tests, pytest_pyfunc_call

__all__ = ["pytest_generate_tests", "pytest_pyfunc_call"]
