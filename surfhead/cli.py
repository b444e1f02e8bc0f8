"""The command line: it assembles the commands and words what went wrong."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from surfhead import __version__
from surfhead.commands.ablate import ablate
from surfhead.commands.check import check
from surfhead.commands.command import Command, Group
from surfhead.commands.compare import compare
from surfhead.commands.data import data
from surfhead.commands.doctor import doctor
from surfhead.commands.eval import evaluate
from surfhead.commands.export import export
from surfhead.commands.flags import flags
from surfhead.commands.import_avatar import import_avatar
from surfhead.commands.list import list_components
from surfhead.commands.mesh import mesh
from surfhead.commands.reenact import reenact
from surfhead.commands.render import render
from surfhead.commands.report import report
from surfhead.commands.rig import rig
from surfhead.commands.show import show
from surfhead.commands.synth import synth
from surfhead.commands.train import train
from surfhead.commands.train_all import train_all
from surfhead.commands.train_words import TrainCommand
from surfhead.commands.view import view
from surfhead.core.errors import SurfheadError
from surfhead.terminal.bars import end_waiting
from surfhead.terminal.console import be_quiet, wrapped

COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "eval": evaluate,
    "render": render,
    "view": view,
    "reenact": reenact,
    "mesh": mesh,
    "export": export,
    "import": import_avatar,
    "train-all": train_all,
    "ablate": ablate,
    "compare": compare,
    "report": report,
    "list": list_components,
    "show": show,
    "check": check,
    "synth": synth,
    "doctor": doctor,
    "flags": flags,
}
BAD_INPUT = 2
INTERRUPTED = 130

app = typer.Typer(
    name="surfhead",
    cls=Group,
    help="Train, measure and render riggable head avatars made of 2D Gaussian surfels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    # names such as the preset -eyeballs are arguments, too
    _dashes = {"ignore_unknown_options": _name == "show"}
    _class = TrainCommand if _name == "train" else Command
    app.command(_name, cls=_class, context_settings=_dashes)(_command)
app.add_typer(data, name="data")
app.add_typer(rig, name="rig")


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
        text = f"{record.levelname.lower()}: {self.format(record)}"
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
    debug = any(argument.partition("=")[0] == "--debug" for argument in given)
    log = logging.getLogger("surfhead")
    handler = _StandardError(logging.DEBUG if debug else logging.WARNING)
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.addHandler(handler)
    be_quiet(False)
    try:
        command = typer.main.get_command(app)
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
        if type(error).__name__ != "SafetensorError":  # what its native writer meets on a full disk
            raise
        print(of_machine(OSError(str(error))), file=sys.stderr)
        return BAD_INPUT
    finally:
        end_waiting()
        log.removeHandler(handler)
    return 0


if __name__ == "__main__":
    sys.exit(main())
