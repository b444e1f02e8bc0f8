"""The command line in this process, as for the tests of the commands."""

from tests.commands.conftest import surfhead

__all__ = ["surfhead"]
