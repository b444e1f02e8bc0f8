"""Which components a run was made with, and whether they are here and unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surfhead.avatars.avatar import Avatar
from surfhead.core.config import RunConfig
from surfhead.core.errors import ContractError
from surfhead.core.registry import registry
from surfhead.files.places import is_file
from surfhead.runs import trust
from surfhead.runs.new_names import present_name


def component_versions(config: RunConfig, avatar: Avatar) -> dict[str, Any]:
    """Each component's name, package, version and, for plugin files, path and hash."""
    found = registry()
    chosen = {
        "deformer": [avatar.deformer.name],
        "appearance": [avatar.appearance.name],
        "rig": [avatar.rig.name],
        "dataset": [config.data.name],
        "densifier": [config.densifier.name],
        "rasterizer": [config.rasterizer.name] if config.rasterizer.name != "auto" else [],
        "observer": list(config.observers),
        "regularizer": list(config.regularizers),
    }
    rows = []
    for kind, names in chosen.items():
        for name in names:
            source = found.registration(kind, name).source
            rows.append(
                {
                    "kind": kind,
                    "name": name,
                    "package": source.package,
                    "version": source.version,
                    "file": source.file if source.origin == "file" else "",
                    "sha256": source.sha256,
                }
            )
    return {"components": rows}


def check_plugin_files(meta: Mapping[str, Any]) -> None:
    """See that the plugin files a checkpoint names are as they were, before they are executed.

    Raises:
        ContractError: a file is missing or changed since.
    """
    for row in meta.get("components", []):
        kind, name = row["kind"], row["name"]
        if row["sha256"]:
            path = Path(row["file"])
            if not is_file(path) and trust.loaded(row["sha256"]):
                continue  # it is elsewhere now, and the user named that place
            try:
                same = trust.file_digest(path) == row["sha256"]
            except (OSError, ValueError):
                same = False
            if not same:
                raise ContractError(
                    f'Plugin file "{path}" is missing or changed since the run used it ({kind} "{name}").',
                    f"Expected the file with SHA-256 {row['sha256'][:16]}….",
                    "Restore that version of the file; code that changed is not loaded silently.",
                )


def check_components(meta: Mapping[str, Any], where: Path) -> None:
    """Load the plugin files a checkpoint names and see that every component it needs is here.

    Args:
        meta: the checkpoint's values.
        where: its folder.

    Raises:
        ContractError: a plugin file changed since, or a component is missing; says what to install.
        PluginLoadError: the user has not said that a plugin file may run.
    """
    check_plugin_files(meta)
    found = registry()
    for row in meta.get("components", []):
        kind, name = row["kind"], row["name"]
        if row["sha256"] and not trust.loaded(row["sha256"]):
            trust.load_foreign(Path(row["file"]), where / "state.json")
        if present_name(kind, name) not in found.names(kind):
            package, version = row["package"], row["version"]
            exact = f"{package}=={version}" if version else package
            raise ContractError(
                f'This run needs {kind} "{name}", which is not installed.',
                f"It came from {package} {version}." if package else "Where it came from is not known.",
                # a plugin may be on no index, but in a folder or a repository
                f"Install it: pip install {exact}, or, if pip does not find it, from where it was got."
                if package
                else "Install the plugin that provides it.",
            )
