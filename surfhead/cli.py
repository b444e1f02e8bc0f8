"""The command line: it assembles the commands and words what went wrong."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from surfhead import __version__
from surfhead.commands.command import Group
from surfhead.commands.on_demand import CommandsOnDemand
from surfhead.core.errors import SurfheadError
from surfhead.terminal.console import be_quiet, forget_absurd_sizes, wrapped
from surfhead.terminal.printable import printable
from surfhead.terminal.renamed import noted
from surfhead.terminal.waited import end_waiting

# module and function below surfhead.commands, in the order of the help
COMMANDS = {
    "train": "train:train",
    "eval": "eval:evaluate",
    "render": "render:render",
    "view": "view:view",
    "reenact": "reenact:reenact",
    "mesh": "mesh:mesh",
    "export": "export:export",
    "import": "import_avatar:import_avatar",
    "train-all": "train_all:train_all",
    "ablate": "ablate:ablate",
    "compare": "compare:compare",
    "report": "report:report",
    "list": "list:list_components",
    "show": "show:show",
    "check": "check:check",
    "synth": "synth:synth",
    "doctor": "doctor:doctor",
    "flags": "flags:flags",
}
GROUPS = {"data": "data:data", "rig": "rig:rig"}
CLASSES = {"train": "train_words:TrainCommand"}
SETTINGS = {"show": {"ignore_unknown_options": True}}  # names such as the preset -eyeballs are arguments
BAD_INPUT = 2
INTERRUPTED = 130


class _Root(Group):
    """All commands, each imported when it is asked for."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = CommandsOnDemand({**COMMANDS, **GROUPS}, CLASSES, SETTINGS)


app = typer.Typer(
    name="surfhead",
    cls=_Root,
    help="Train, measure and render riggable head avatars made of 2D Gaussian surfels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"surfhead {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train, measure and render riggable head avatars made of 2D Gaussian surfels."""


class _StandardError(logging.Handler):
    """Prints warnings on whatever standard error is at that moment, so that a live display can lift them."""

    def emit(self, record: logging.LogRecord) -> None:
        text = printable(f"{record.levelname.lower()}: {self.format(record)}")
        print(wrapped(text, sys.stderr), file=sys.stderr)


def with_debug_value(arguments: Sequence[str]) -> list[str]:
    """Give a bare ``--debug`` its value 0; the option parser knows no optional values."""
    given = []
    for index, argument in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        given.append("--debug=0" if argument == "--debug" and not following.isdecimal() else argument)
    return given


def of_machine(error: OSError | MemoryError) -> SurfheadError:
    """In three lines what the machine refused: a file, a folder, room."""
    if isinstance(error, MemoryError):
        return SurfheadError(
            "There is not enough memory for this.", "", "Choose a smaller size or number, and try again."
        )
    place = f'"{error.filename}": ' if error.filename else ""
    return SurfheadError(
        f"{place}{error.strerror or error}.",
        "Expected files that can be read, and folders with room that can be written.",
        "Check this path, its permissions and the free space; --debug shows where it happened.",
    )


def _printable() -> None:
    """Let a console print what it can: letters that it does not know become question marks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code; 2 for every error a user can mend."""
    given = with_debug_value(sys.argv[1:] if arguments is None else arguments)
    _printable()
    forget_absurd_sizes()
    debug = any(argument.partition("=")[0] == "--debug" for argument in given)
    log = logging.getLogger("surfhead")
    level = log.level
    handler = _StandardError(logging.DEBUG if debug else logging.WARNING)
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.addHandler(handler)
    be_quiet(False)
    try:
        command = typer.main.get_command(app)
        with noted():
            command(args=given, prog_name="surfhead", obj=given)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except SurfheadError as error:
        if debug:
            traceback.print_exc()
        print(wrapped(str(error), sys.stderr), file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # who read has gone, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        print(of_machine(error), file=sys.stderr)
        return BAD_INPUT
    except Exception as error:
        if type(error).__name__ == "SafetensorError":  # what its native writer meets on a full disk
            print(of_machine(OSError(str(error))), file=sys.stderr)
            return BAD_INPUT
        from surfhead.commands.blame import of_plugin

        blamed = of_plugin(error)
        if blamed is None:
            raise
        if debug:
            traceback.print_exc()
        print(wrapped(str(blamed), sys.stderr), file=sys.stderr)
        return BAD_INPUT
    finally:
        end_waiting()
        log.removeHandler(handler)
        log.setLevel(level)  # --quiet is of this command alone
        be_quiet(False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
