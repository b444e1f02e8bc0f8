"""The controls of a run that goes on: its figures and curves, pause, and the time its pictures may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from surfhead.viewing.shot import Request
from surfhead.viewing.training import Training
from surfhead.viewing.wiring import when_changed

if TYPE_CHECKING:
    from surfhead.viewing.exhibit import Guest

COLOURS = ("#4c9be8", "#f0a030", "#58c472", "#e05d5d", "#b07cd8", "#8c8c8c", "#d8c24a", "#3fb8b8")


class TrainingPanel:
    """The tab "Training" of one visitor."""

    def __init__(self, visitor: Guest, training: Training) -> None:
        self.visitor = visitor
        self.training = training
        gui = visitor.handle.gui
        self._facts = gui.add_markdown(training.facts)
        self._pause = gui.add_checkbox("Pause", training.paused, hint="For every page.")
        when_changed(visitor, self._pause, self._set_paused)
        share = gui.add_slider(
            "Time for pictures, %",
            1,
            100,
            1,
            round(100 * training.pace.share),
            hint="The most that pictures may take of the run's time, for all pages together.",
        )
        when_changed(visitor, share, self._set_share)
        self._folder = gui.add_folder("Curves")
        self._plots: dict[str, Any] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._seen = -1
        self._draw()

    def _set_paused(self, value: bool) -> None:
        self.training.paused = value

    def _set_share(self, value: float) -> None:
        self.training.pace.share = max(float(value), 1.0) / 100

    def _draw(self) -> None:
        training = self.training
        if training.changed == self._seen:
            return
        with training.lock:
            self._seen = training.changed
            rows = {
                "Loss terms, weighted": (list(training.curves.images), dict(training.curves.values)),
                "PSNR of training pictures, dB": (list(training.psnr.images), dict(training.psnr.values)),
            }
            data = {
                title: (
                    tuple(values),
                    (np.asarray(images, float), *(np.asarray(row, float) for row in values.values())),
                )
                for title, (images, values) in rows.items()
                if values and len(images) > 1
            }
        self._facts.content = training.facts
        for title, (names, arrays) in data.items():
            if title in self._plots and self._names[title] == names:
                self._plots[title].data = arrays
                continue
            if title in self._plots:
                self._plots[title].remove()
            series: list[dict[str, Any]] = [{"label": "images"}]
            series += [
                {"label": name, "stroke": COLOURS[index % len(COLOURS)], "width": 2}
                for index, name in enumerate(names)
            ]
            self._names[title] = names
            with self._folder:
                self._plots[title] = self.visitor.handle.gui.add_uplot(
                    arrays, tuple(series), title=title, scales={"x": {"time": False}}, aspect=1.6
                )

    def shown(self, request: Request, pixels: np.ndarray) -> None:
        """Follow the run."""
        if self._pause.value != self.training.paused:
            self._pause.value = self.training.paused
        self._draw()
