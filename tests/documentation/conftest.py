"""The command line in this process, as for the tests of the commands."""

from tests.commands.conftest import cache, shared_cache, surfhead

__all__ = ["cache", "shared_cache", "surfhead"]
