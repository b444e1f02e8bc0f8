"""A run's events and the observers that listen to them."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import pluggy

from surfhead.core.components import Observer
from surfhead.core.errors import ContractError, SurfheadError

PROJECT = "surfhead-run"
EVENTS = ("run_started", "stepped", "evaluated", "checkpointed", "run_finished")

log = logging.getLogger("surfhead")


class _Manager(pluggy.PluginManager):
    """Every method of an observer that is named like an event is a hook; no decorator is needed."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        if name in EVENTS and inspect.isroutine(getattr(plugin, name, None)):
            return {
                "wrapper": False,
                "hookwrapper": False,
                "optionalhook": False,
                "tryfirst": False,
                "trylast": False,
                "specname": None,
            }
        return None

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> Any:
        return {"firstresult": False, "historic": False, "warn_on_impl": None} if name in EVENTS else None


class Events:
    """Tells a run's observers what happens; one that raises is reported and switched off."""

    def __init__(self, observers: list[Observer]) -> None:
        self.manager = _Manager(PROJECT)
        self.manager.add_hookspecs(Observer)
        for observer in observers:
            try:
                self.manager.register(observer, name=observer.name)
            except pluggy.PluginValidationError as error:
                raise ContractError(
                    f'Observer "{observer.name}" does not fit: {str(error).splitlines()[-1].strip()}.',
                    f"Expected the parameters of surfhead.core.api.Observer for {', '.join(EVENTS)}.",
                    "Correct its methods; `surfhead check observer NAME` tells more.",
                ) from error

    def names(self) -> list[str]:
        """The observers still listening."""
        return [name for name, plugin in self.manager.list_name_plugin() if plugin is not None]

    def tell(self, event: str, **values: Any) -> None:
        """Send an event to every observer."""
        for name, observer in self.manager.list_name_plugin():
            if observer is None:
                continue
            others = [p for p in self.manager.get_plugins() if p is not observer]
            try:
                self.manager.subset_hook_caller(event, remove_plugins=others)(**values)
            except Exception as error:  # an observer may raise anything; the run goes on
                self.manager.unregister(observer)
                log.warning(
                    'Observer "%s" raised %s: %s. It is switched off; the run goes on.',
                    name,
                    type(error).__name__,
                    error.what.removesuffix(".") if isinstance(error, SurfheadError) else error,
                    exc_info=log.isEnabledFor(logging.DEBUG),
                )
