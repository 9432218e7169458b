"""What all tests of the exchange begin from."""

from tests.helpers.toy_exchange import parses

__all__ = ["parses"]
