"""Discovery, lookup and creation of components. It knows no plugin by name.

Catalogues come from three places, through the same hooks: the packages of ``surfhead.plugins``, entry
points of group ``surfhead``, and files named by ``--plugin`` or ``$SURFHEAD_PLUGINS``. Discovering reads
names and summaries only; a component's module is imported when it is first asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from surfhead.core import hookspecs
from surfhead.core.errors import (
    PluginLoadError,
    SurfheadError,
    UnavailableError,
    UnknownNameError,
    unknown_name,
)
from surfhead.core.hookspecs import KINDS
from surfhead.terminal import remedies, renamed

if TYPE_CHECKING:
    from surfhead.core.component import Component


@dataclass(frozen=True)
class Source:
    """Where a registration came from.

    Attributes:
        origin: ``built-in``, ``entry point`` or ``file``.
        label: package or file name a user recognises.
        file: the plugin module's file.
        package, version: the distribution, empty for files.
        sha256: hash of a plugin file, empty otherwise.
    """

    origin: str
    label: str
    file: str = ""
    package: str = ""
    version: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Registration:
    """One registered component: ``target`` is the class or the string that names it."""

    kind: str
    name: str
    target: str | type
    summary: str
    source: Source


@dataclass(frozen=True)
class Problem:
    """A plugin that could not be used, with the reason."""

    source: Source
    reason: str
    cause: BaseException | None = None

    def error(self) -> PluginLoadError:
        """The error to raise when this plugin is asked for."""
        made = PluginLoadError(
            f'Plugin "{self.source.label}" could not be loaded: {self.reason}',
            f"It is at {self.source.file}." if self.source.file else "",
            remedies.mending(self.cause, self.reason),
        )
        made.__cause__ = self.cause
        return made


class Registry:
    """All components that are known, and the plugins that failed."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.problems: list[Problem] = []
        self._table: dict[tuple[str, str], list[Registration]] = {}

    # ---- discovery -------------------------------------------------------------------------------

    def discover(self) -> Registry:
        """Load the built-in catalogues, the entry points and the files of ``$SURFHEAD_PLUGINS``."""
        built_in = importlib.import_module("surfhead.plugins")
        version = importlib.import_module("surfhead").__version__
        for found in pkgutil.iter_modules(built_in.__path__, "surfhead.plugins."):
            module = importlib.import_module(found.name)
            self.add(module, Source("built-in", "surfhead", module.__file__ or "", "surfhead", version))
        for point in importlib.metadata.entry_points(group=hookspecs.PROJECT):
            package, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
            source = Source("entry point", package or point.name, point.value, package, version)
            try:
                module = point.load()
                self.add(module, replace(source, file=getattr(module, "__file__", None) or source.file))
            except SurfheadError as error:
                self.problems.append(Problem(source, error.what, error))
            except (Exception, SystemExit) as error:  # a stranger's module may raise anything on import
                self.problems.append(Problem(source, f"{type(error).__name__}: {error}", error))
        for name in filter(None, os.environ.get("SURFHEAD_PLUGINS", "").split(os.pathsep)):
            self.try_file(Path(name))
        return self

    def try_file(self, path: Path) -> None:
        """Load a plugin from a file; one that cannot be loaded is added to the problems."""
        try:
            self.load_file(path)
        except SurfheadError as error:
            source = Source("file", str(path), str(path))
            others = [problem for problem in self.problems if problem.source != source]
            self.problems = [*others, Problem(source, error.what, error)]

    def load_file(self, path: Path, expected: str = "") -> None:
        """Load a plugin from a file that the user named or trusts, if ``expected`` is its SHA-256, or empty.

        Raises PluginLoadError naming the file and the cause.
        """
        path = Path(os.path.realpath(os.path.expanduser(path)))  # noqa: PTH111 (raises for no name)
        if not (os.path.isfile(path) and os.access(path, os.R_OK)):  # noqa: PTH113
            raise PluginLoadError(
                f'There is no plugin file "{path}" that can be read.',
                "Expected a Python file with `@hookimpl` functions.",
                "Check the path given to --plugin or in $SURFHEAD_PLUGINS.",
            )
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if expected not in ("", digest):
            raise PluginLoadError(f'Plugin file "{path}" has just changed.', "", "Look at it, and try again.")
        if any(r.source.sha256 == digest and r.source.file == str(path) for r in self.registrations()):
            return
        source = Source("file", path.name, str(path), sha256=digest)
        module_name = f"surfhead_plugin_{path.stem}_{digest[:8]}"
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or path.suffix != ".py":
            raise PluginLoadError(f'"{path}" is not a Python file.', "", "Name it with .py at its end.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses look their module up while it executes
        try:
            # the very bytes that were hashed: no cached bytecode, no file that changed since
            exec(compile(content, str(path), "exec"), module.__dict__)
        except (Exception, SystemExit) as error:
            sys.modules.pop(module_name, None)
            raise Problem(source, f"{type(error).__name__}: {error}", error).error() from error
        self.add(module, source)

    def add(self, plugin: ModuleType | object, source: Source) -> None:
        """Register a plugin's components, all or none. Raises PluginLoadError blaming this plugin."""
        try:
            self.manager.register(plugin, name=f"{source.origin}:{source.file}:{source.label}")
            self.manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            hooks = [f"register_{kind}s" for kind in KINDS]
            text = str(error).splitlines()[0]
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            raise PluginLoadError(
                f'Plugin "{source.label}" does not fit: {text} (in {source.file})',
                f"Hooks: {', '.join(hooks)}.",
                "Correct the name or the arguments of the hook.",
            ) from error
        found: list[Registration] = []
        for caller in self.manager.get_hookcallers(plugin) or []:
            kind = caller.name.removeprefix("register_").removesuffix("s")
            for implementation in caller.get_hookimpls():
                if implementation.plugin is plugin:
                    try:
                        implementation.function(_Registrar(kind, source, found))
                    except SurfheadError:
                        raise
                    except (Exception, SystemExit) as error:
                        raise Problem(source, f"{type(error).__name__}: {error}", error).error() from error
        if not found and source.origin != "built-in":
            raise PluginLoadError(
                f'Plugin "{source.label}" registers nothing (in {source.file}).',
                "Expected functions such as `@hookimpl def register_deformers(register): ...`.",
                "Decorate them with surfhead.core.api.hookimpl and call register(...) in them.",
            )
        for registration in found:
            self._table.setdefault((registration.kind, registration.name), []).append(registration)

    # ---- lookup ----------------------------------------------------------------------------------

    def registrations(self, kind: str | None = None) -> Iterator[Registration]:
        """Every registration, of one kind or all, in the order of kinds and names."""
        if kind is not None and kind not in KINDS:
            raise unknown_name("kind", kind, KINDS, "Choose one of these kinds.")
        for wanted in KINDS:
            if kind in (None, wanted):
                for key in sorted(self._table):
                    if key[0] == wanted:
                        yield from self._table[key]

    def names(self, kind: str) -> list[str]:
        """The registered names of a kind, sorted."""
        return sorted({r.name for r in self.registrations(kind)})

    def registration(self, kind: str, name: str) -> Registration:
        """The one registration of this name. Raises UnknownNameError, or PluginLoadError if two claim it."""
        rows = self._table.get((kind, str(name)), [])
        if len(rows) > 1:
            places = " and ".join(f"{r.source.label} ({r.source.file})" for r in rows)
            raise PluginLoadError(
                f'Two plugins register {kind} "{name}": {places}.',
                "A name belongs to one plugin.",
                "Uninstall one of them or rename its component.",
            )
        if not rows:
            if (new := renamed.component(kind, name, self.names(kind))) != name:
                return self.registration(kind, new)
            known = self.names(kind)
            for problem in self.problems:
                if name in (problem.source.label, Path(problem.source.file).stem):
                    raise problem.error()
            remedy = remedies.elsewhere(kind, str(name)) or f"See `surfhead list {kind}`."
            if self.problems:
                broken = ", ".join(f'"{p.source.label}" ({p.reason})' for p in self.problems)
                remedy += f" Broken plugins that may hold it: {broken}."
            raise unknown_name(kind, name, known, remedy)
        return rows[0]

    def get(self, kind: str, name: str) -> type[Component]:
        """The class of a registered component, imported now if need be."""
        registration = self.registration(kind, name)
        target, name = registration.target, registration.name
        if isinstance(target, str):
            module_name, _, attribute = target.partition(":")
            try:
                target = getattr(importlib.import_module(module_name), attribute)
            except Exception as error:
                raise Problem(
                    registration.source, f'{kind} "{name}" ({target}): {type(error).__name__}: {error}', error
                ).error() from error
        from surfhead.core.components import BASES

        base, source = BASES[kind], registration.source
        what, expected = "", f"Expected a class derived from surfhead.core.api.{base.__name__}."
        if not (isinstance(target, type) and issubclass(target, base)):
            what = f"is not a {base.__name__}"
        elif target.name != name:
            what = f'calls itself "{target.name}"'
            expected = "The catalogue's name and the class attribute `name` must be equal."
        elif missing := sorted(getattr(target, "__abstractmethods__", ())):
            what = f"lacks {', '.join(missing)}"
        elif not hasattr(target.Options, "__dataclass_fields__"):
            what, expected = "has Options of its own kind", "Expected @dataclass(frozen=True) above Options."
        if what:
            start = f'{kind} "{name}" of plugin "{source.label}"'
            raise PluginLoadError(f"{start} {what}.", expected, f"Mend {source.file}.")
        return target

    def create(
        self,
        kind: str,
        name: str,
        options: Mapping[str, Any] | None = None,
        device: str = "cpu",
        length: int | None = None,
    ) -> Any:
        """Make a component from its name and options.

        Args:
            kind, name: which; ``auto`` picks the available one with the highest priority.
            options: option values by name; strings are converted to the options' types.
            device: type of device ``auto`` rasterizers must support.
            length: images of the run it is for, with which its schedule scales; None: its defaults.
        """
        from surfhead.core.component import build_options
        from surfhead.core.moments import options_in_images

        if name == "auto":
            name = self.best(kind, device)
        cls = self.get(kind, name)
        reason = cls.available()
        if reason is not None:
            what, remedy = remedies.parted(reason)
            raise UnavailableError(
                f'{kind} "{name}" cannot run here: {what}',
                f"Available: {', '.join(self.usable(kind, device)) or 'none'}.",
                remedy or "Choose one of these, or see `surfhead doctor`.",
            )
        chosen = renamed.options(kind, cls.name, options or {}, cls.Options.__dataclass_fields__)
        return cls(build_options(cls, chosen if length is None else options_in_images(cls, chosen, length)))

    def usable(self, kind: str, device: str = "cpu") -> list[str]:
        """Names that are available for a type of device, best first; priorities below 0 are left out."""
        found = []
        for name in self.names(kind):
            try:
                cls: Any = self.get(kind, name)
            except SurfheadError:
                continue
            fits = cls.supports(device) if kind == "rasterizer" else True
            if cls.priority >= 0 and fits and cls.available() is None:
                found.append((-cls.priority, name))
        return [name for _, name in sorted(found)]

    def best(self, kind: str, device: str = "cpu") -> str:
        """The name ``auto`` stands for."""
        usable = self.usable(kind, device)
        if not usable:
            raise UnknownNameError(f"No {kind} can run on {device}.", "", "See `surfhead doctor`.")
        return usable[0]


class _Registrar:
    """The ``register`` callable handed to a plugin's hook."""

    def __init__(self, kind: str, source: Source, found: list[Registration]) -> None:
        self.kind = kind
        self.source = source
        self.found = found

    def __call__(self, name: Any, target: Any = None, summary: str = "") -> Any:
        cls = name if target is None else target
        if isinstance(cls, type):
            label = getattr(cls, "name", None)
            text = summary or getattr(cls, "summary", "") or (cls.__doc__ or "").partition("\n")[0]
        else:
            label, text = name, summary
        if not isinstance(label, str) or not label or not (isinstance(cls, (str, type))):
            raise PluginLoadError(
                f'Plugin "{self.source.label}" registers a {self.kind} without a name.',
                'Expected register(Class) or register("name", "package.module:Class", "summary").',
                f"Mend {self.source.file}.",
            )
        self.found.append(Registration(self.kind, label, cls, text, self.source))
        return name


_current: Registry | None = None


def registry() -> Registry:
    """The process's registry, discovered at the first call."""
    global _current  # noqa: PLW0603 - one registry a process
    if _current is None:
        _current = Registry()
        _current.discover()  # what asks for components while it loads finds those that are known by then
    return _current


def create(
    kind: str,
    name: str,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
    length: int | None = None,
) -> Any:
    """Make a registered component: ``create("deformer", "jbs", {"rotation_blend": "paper"})``."""
    return registry().create(kind, name, options, device, length)
