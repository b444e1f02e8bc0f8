"""Pages of the site that are made from the code: the command line, components, settings, presets, flags.

A hook of MkDocs. Whatever is registered, declared or documented in the package shows here by itself.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

ROOT = Path(__file__).resolve().parents[1]

TITLES = {
    "deformer": "Deformers",
    "appearance": "Appearance models",
    "regularizer": "Terms of the loss",
    "rasterizer": "Rasterizers",
    "rig": "Rigs",
    "dataset": "Data sets",
    "densifier": "Densifiers",
    "format": "Formats",
    "observer": "Observers",
}
SECTION_OF_COMPONENT = ("deformer", "appearance", "rasterizer", "rig", "densifier", "data")


def on_config(config: Any) -> Any:
    """Put written pages that the navigation does not list at the end of its guides; MkDocs calls it first."""
    guides = next(entry["Guides"] for entry in config["nav"] if "Guides" in entry)
    guides += unlisted((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return config


def unlisted(configuration: str) -> list[str]:
    """The written pages that the navigation of ``mkdocs.yml`` does not name."""
    listed = set(re.findall(r"([\w/]+\.md)\b", configuration.partition("\nnav:")[2]))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    return sorted(pages - listed - {"ablation/table.md"})  # which the guide on ablations shows


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages; called by MkDocs once it knows the written ones."""
    from mkdocs.structure.files import File

    if str(ROOT) not in sys.path:  # the package of this tree, installed or not
        sys.path.insert(0, str(ROOT))
    for place, make in pages().items():
        files.append(File.generated(config, place, content=make()))
    return files


def pages() -> dict[str, Callable[[], str]]:
    """Where each generated page is, and what makes it."""
    made: dict[str, Callable[[], str]] = {
        "reference/cli.md": command_line,
        "reference/settings.md": settings,
        "reference/presets.md": presets,
        "reference/flags.md": flags,
        "reference/plugin_api.md": plugin_api,
    }
    for kind in TITLES:
        made[f"reference/components/{kind}.md"] = lambda kind=kind: components(kind)
    return made


def components(kind: str) -> str:
    """The manual and the options of every built-in component of a kind."""
    from surfhead.core.registry import registry

    found = registry()
    rows = [row for row in found.registrations(kind) if row.source.origin == "built-in"]
    parts = [
        f"# {TITLES[kind]}",
        "The manuals are those of the code; `surfhead show` prints them, with those of installed plugins. "
        f"To write one, see [the plugin page](../../plugins/{kind}.md).",
        table(("name", "what it is"), [(f"[`{row.name}`](#{row.name})", row.summary) for row in rows]),
    ]
    for row in rows:
        cls: Any = found.get(kind, row.name)
        parts += [f"## {row.name} {{ #{row.name} }}", manual(cls)]
        if kind == "regularizer":
            parts.append(f"Published weight {cls.weight:g}, from {cls.start:.0%} of the run on.")
        parts.append(options(cls))
    return "\n\n".join(filter(None, parts)) + "\n"


def manual(cls: Any) -> str:
    """A component's manual (its module's docstring) as Markdown."""
    text = inspect.getdoc(sys.modules[cls.__module__]) or inspect.getdoc(cls) or ""
    return as_markdown(text)


def as_markdown(text: str) -> str:
    """Plain text of a docstring as Markdown: its code stays code, and the method's page is linked."""
    text = re.sub(r"^::$\n?", "", text, flags=re.MULTILINE)  # what follows is indented, which is enough
    lines, shown = [], []
    for line in text.splitlines():
        if line.startswith("    "):
            shown.append(line)
            continue
        if shown:
            lines += ["", *shown, ""]
            shown = []
        lines.append(line)
    text = "\n".join([*lines, *(["", *shown] if shown else [])])
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    pieces = re.split(r"(`[^`]*`|^    .*$)", text, flags=re.MULTILINE)
    written = [piece if index % 2 else _escaped(piece) for index, piece in enumerate(pieces)]
    return "".join(written).replace("docs/method.md", "[method](../../method.md)")


def _escaped(text: str) -> str:
    return re.sub(r"([<_\[\]|])", r"\\\1", text)


def options(cls: Any) -> str:
    """A component's options as a table."""
    from surfhead.core.options import default_of, type_name

    hints = get_type_hints(cls.Options)
    rows = []
    for field in dataclasses.fields(cls.Options):
        if field.init:
            default = default_of(field)
            shown = "" if default is None else f"`{default}`"
            description = str(field.metadata.get("description", ""))
            rows.append((f"`{field.name}`", f"`{type_name(hints[field.name])}`", shown, description))
    return table(("option", "type", "default", "what it is"), rows) if rows else "It has no options."


def command_line() -> str:
    """Every command with its arguments and options, from the command line itself."""
    import typer
    from typer.cli import get_docs_for_click

    from surfhead.cli import app

    command = typer.main.get_command(app)
    context: Any = typer.Context(command)
    text = get_docs_for_click(obj=command, ctx=context, name="surfhead")
    text = text.replace("# `surfhead`", "# The command line", 1)
    # help texts name choices in brackets and angles, which are no links and no tags
    return re.sub(r"<(?=[A-Z/])", r"\\<", text)


def settings() -> str:
    """Everything a configuration may say, from the classes that hold it."""
    from surfhead.core import sections
    from surfhead.core.config import RunConfig

    described = attributes(inspect.getdoc(RunConfig) or "")
    rows = [
        (f"`{field.name}`", plain(field.type), shown(field), told(field, described))
        for field in dataclasses.fields(RunConfig)
        if field.name in described or field.type in ("int", "bool", "str")
    ]
    parts = [
        "# Settings",
        "A run is a TOML file: settings of the run, and a table for each component, whose key `name` picks "
        "it and whose other keys are its options. `--set KEY=VALUE` reaches any of them, such as "
        "`--set deformer.rotation_blend=paper`. Defaults give way to a preset, a preset to a file "
        "(`--config`), a file to the command line.",
        table(("setting", "type", "default", "what it is"), rows),
        "## Tables",
    ]
    for key, cls in (
        ("regularizers.NAME", sections.Term),
        ("evaluate, checkpoint", sections.Occasions),
        ("export", sections.Exports),
        ("rate.GROUP", sections.Rate),
        ("freeze", sections.Freeze),
    ):
        text = inspect.getdoc(cls) or ""
        said = attributes(text)
        fields = [(f"`{f.name}`", plain(f.type), shown(f), told(f, said)) for f in dataclasses.fields(cls)]
        parts += [f"### {key}", text.splitlines()[0], table(("key", "type", "default", "what it is"), fields)]
    linked = ", ".join(
        f"[{key}](components/{key.replace('data', 'dataset')}.md)" for key in SECTION_OF_COMPONENT
    )
    parts.append(f"The tables of components have the options of the component: {linked}.")
    return "\n\n".join(parts) + "\n"


def attributes(text: str) -> dict[str, str]:
    """Name -> description of a docstring's section ``Attributes``; several names may share one."""
    found: dict[str, str] = {}
    _, _, section = text.partition("Attributes:\n")
    for entry in re.split(r"\n(?=    \w)", "\n" + section.rstrip()):
        names, _, said = entry.strip().partition(": ")
        for name in names.split(", "):
            found[name] = " ".join(said.split()).replace("``", "`")
    return {name: said for name, said in found.items() if name}


def presets() -> str:
    """Every preset with the settings it amounts to."""
    import tomli_w

    from surfhead.runs.layers import preset, preset_description, preset_names

    names = [name for name in preset_names() if name != "base"]
    parts = [
        "# Presets",
        "`--preset NAME` starts from one of these; `fast` where none is named.",
        table(("preset", "what it is"), [(f"`{name}`", preset_description(name)) for name in names]),
    ]
    for name in names:
        tables = dict(sorted(preset(name).items(), key=lambda row: isinstance(row[1], dict)))
        parts += [f"## {name}", f"```toml\n{tomli_w.dumps(tables)}```"]
    return "\n\n".join(parts) + "\n"


def flags() -> str:
    """The flags of GaussianAvatars and SurFhead and what each does here."""
    from surfhead.commands.flags import table_rows

    rows = [(f"`{row['flag']}`", row["default"], row["here"]) for row in table_rows()]
    return (
        "# Flags of GaussianAvatars and SurFhead\n\n`surfhead train` takes their flags, such as "
        "`-s DATA -m RUN --bind_to_mesh --lambda_dssim 0.2 --DTF`, with underscores or dashes, and "
        "translates each into a setting; a later word on the command line overrides an earlier one. The "
        "released trainer's final command line runs as it is. `surfhead flags` prints this table.\n\n"
        + table(("flag", "default there", "here"), rows)
        + "\n"
    )


def plugin_api() -> str:
    """The interfaces of the nine kinds and the values they exchange."""
    bases = [title.capitalize() for title in TITLES]
    values = ("Binding", "Mesh", "RestMesh", "Topology", "AffineField", "WorldSurfels", "Colour", "Cameras")
    values += ("RenderOutput", "Batch", "Step")
    lines = [
        "# Plugin API",
        "Imported from `surfhead.core.api`. [Plugins](../plugins/index.md) has an example a kind.",
    ]
    lines += ["## The kinds", "::: surfhead.core.component.Component\n    options: {heading_level: 3}"]
    lines += [f"::: surfhead.core.components.{name}\n    options: {{heading_level: 3}}" for name in bases]
    lines += ["## Values"]
    lines += [f"::: surfhead.core.types.{name}\n    options: {{heading_level: 3}}" for name in values]
    lines += [
        "::: surfhead.core.parameters.ParameterSpec\n    options: {heading_level: 3}",
        "::: surfhead.core.densification.DensifyState\n    options: {heading_level: 3}",
        "::: surfhead.core.densification.DensifyPlan\n    options: {heading_level: 3}",
        "## Errors",
        "::: surfhead.core.errors\n    options: {heading_level: 3, show_root_heading: false}",
    ]
    return "\n\n".join(lines) + "\n"


def told(field: Any, described: dict[str, str]) -> str:
    """What a setting is, from where it is declared or the docstring of its class, and its bounds."""
    from surfhead.core.options import bounds_of

    text = str(field.metadata.get("description") or described.get(field.name, ""))
    bounds = bounds_of(field)
    return f"{text.rstrip('.')} ({bounds})." if bounds else text


def shown(field: Any) -> str:
    """A field's default, where it is worth showing."""
    default = field.default
    simple = isinstance(default, (int, float, str, bool, tuple)) and default not in ("", ())
    return f"`{default}`" if simple else ""


def plain(hint: Any) -> str:
    """A type as it is written, for a table."""
    return f"`{hint}`" if hint else ""


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""

    def line(cells: tuple[str, ...]) -> str:
        return (
            "| "
            + " | ".join(cell.replace(" | ", " or ").replace("|", "\\|").replace("\n", " ") for cell in cells)
            + " |"
        )

    return "\n".join([line(heads), "|" + "---|" * len(heads), *map(line, rows)])
