"""The training loop: batches, losses, optimiser, densifier, evaluation, checkpoints; tells observers."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surfhead.avatars.avatar import Avatar
from surfhead.avatars.captured_work import CapturedWork, all_capturable
from surfhead.avatars.posed_meshes import PosedMeshes
from surfhead.avatars.rendering import Rendering
from surfhead.avatars.state import below, under
from surfhead.avatars.surfels import Selection
from surfhead.core.component import Component
from surfhead.core.components import Densifier
from surfhead.core.config import RunConfig, as_tables
from surfhead.core.densification import DensifyPlan, DensifyState
from surfhead.core.errors import SurfheadError
from surfhead.core.types import Batch, Step
from surfhead.data.feed import Feed, Order
from surfhead.files.given import made_by
from surfhead.training import checkpoint
from surfhead.training.events import Events
from surfhead.training.finishing import finish
from surfhead.training.gradient_exchange import GradientExchange
from surfhead.training.interruption import Interruption
from surfhead.training.optimiser import Optimiser
from surfhead.training.ranks import ALONE, Ranks
from surfhead.training.read_back import ReadBack
from surfhead.training.statistics import Statistics
from surfhead.training.step_dump import dump_step
from surfhead.training.training_data import TrainingData
from surfhead.training.weighted_term import Loss, WeightedTerm, weighted_sum

log = logging.getLogger("surfhead")
READ_BACK = 20  # steps between looks at device values that would stall a GPU


@dataclass(frozen=True)
class Record:
    """What a run leaves behind, and who is told of it.

    Attributes:
        folder: where checkpoints go.
        events: the observers.
        describe: what a checkpoint says of components and data.
        evaluate: measures the avatar, told whether the run is over.
        export: writes the avatar; None: it is not asked for.
    """

    folder: Path
    events: Events
    describe: Callable[[], dict[str, Any]]
    evaluate: Callable[[Trainer, bool], None]
    export: Callable[[Trainer], None] | None = None


class Trainer:
    """One run.

    Attributes:
        config, scene, avatar: what is trained on what.
        ranks: the processes that train it together.
        images: training images seen.
        losses: the last step's weighted terms, detached, on the device.
        psnr: of the last batch that was read back, dB.
        rate: images a second since the run (or its continuation) began.
        length: images of the whole run.
    """

    def __init__(
        self,
        config: RunConfig,
        avatar: Avatar,
        data: TrainingData,
        terms: list[WeightedTerm],
        densifier: Densifier,
        record: Record,
        ranks: Ranks = ALONE,
    ) -> None:
        self.config = config
        self.avatar, self._meshes = avatar, PosedMeshes(avatar)
        self.scene, self.extent = data.scene, data.extent
        avatar.graphs = config.graphs
        self.terms = [t for t in terms if t.weight > 0.0]
        self.densifier = densifier
        self.folder, self.events, self.ranks = record.folder, record.events, ranks
        self.images, self.length = 0, config.iterations
        self.losses: dict[str, Tensor] = {}
        self.psnr, self.rate = math.nan, 0.0
        self.feed = Feed(data.scene, avatar.device, config.cache)
        self.order = Order(data.views, config.seed, data.scene.views.by_size(data.views), config.batch_size)
        self.optimiser = Optimiser(avatar, config, data.extent)
        self._exchange = GradientExchange(ranks)
        self.statistics = Statistics(len(avatar.surfels), avatar.device)
        self.generator = torch.Generator().manual_seed(config.seed + 1)
        self._record = record
        self._captured = CapturedWork(self._learn) if self._capturable() else None
        self._read_back, self.interruption = ReadBack(), Interruption(ranks)
        self._steps, self._kept, self._whole = 0, 0, True  # _kept: images of the newest checkpoint

    @property
    def interrupted(self) -> bool:
        """Whether the run was asked to end after this step."""
        return self.interruption.asked

    # ---- one step --------------------------------------------------------------------------------

    def loss(self, batch: Batch, rendering: Rendering) -> Loss:
        """The weighted sum of the terms that are on, and what each gave."""
        step = Step(
            self.images,
            batch,
            rendering.output,
            rendering.surfels,
            self.avatar.surfels.binding(),
            rendering.field,
            rendering.mesh,
            self.extent,
            rendering.rig_parameters,
        )
        return weighted_sum(self.terms, step)

    def step(self) -> None:
        """Train on the next batch."""
        count = min(self.config.batch_size, self.length - self.images)
        avatar = self.avatar
        avatar.advance(self.images)
        self.optimiser.set_rates(self.images)
        batch = self._next_batch(count)
        if not avatar.deformer.rig_bound:  # a static scene has one pose, whatever the timestep
            still = torch.zeros_like(batch.pose_of_view)
            batch = replace(batch, pose_of_view=still, paired=len(still) == 1)
        ahead = count * max(2, math.ceil(1 + self.feed.workers / count))  # whole batches
        self.feed.prefetch(self.ranks.share(self.order.peek(ahead)))
        if self._captured is not None:
            rendering, self.losses = self._captured((*self._decided(count), batch.image.shape), batch)
            self._check(batch, rendering)
        else:
            rendering = self._differentiate(batch, self.optimiser.freeze)
            self.optimiser.watch(self._debugging)
            self._check(batch, rendering)
            self.optimiser.step()
        before, self.images = self.images, self.images + count
        self._steps += 1
        if self.densifier.due(before, self.images, self.length):
            self._densify(rendering, before)

    def _next_batch(self, count: int) -> Batch:
        """Take and decode this process's share of the next views; if that fails, all is as it was."""
        place = self.order.epoch, self.order.position
        try:
            return self.feed.batch(self.ranks.share(self.order.take(count)))
        except Exception:
            self.order.restore(*place)
            self._whole = True  # nothing has been learnt of it
            raise

    def _differentiate(self, batch: Batch, then: Callable[[list[Tensor]], None]) -> Rendering:
        """Draw a batch; leaves the loss's gradients in the parameters and its statistics in the sums.

        ``then`` is called with the parameters whose gradients are complete, until all were among them.
        """
        rendering = self.avatar.draw(
            batch.cameras,
            self.avatar.poses(batch.timesteps),
            batch.pose_of_view,
            batch.background,
            paired=batch.paired,
            track=True,
            mesh=self._meshes.at(batch.timesteps),
        )
        found = self.loss(batch, rendering)
        self.losses = found.values
        self.terms = [term for term in self.terms if term.name not in found.left_out]
        values, rows = self.optimiser.in_backward_order(), self.optimiser.rows_in_backward_order()
        with self._exchange.during(values, then, rows):
            found.total.backward()  # type: ignore[no-untyped-call]
            self.statistics.update(rendering.surfels.mean, batch.cameras, rendering.output)
        return rendering

    def _learn(self, batch: Batch) -> tuple[Rendering, dict[str, Tensor]]:
        """A step without a look from the host: what a CUDA graph can hold."""
        self.optimiser.drop_gradients()  # a capture that failed half way left some that nothing had computed
        rendering = self._differentiate(batch, self.optimiser.freeze_and_step)
        self.optimiser.drop_gradients()
        return rendering, self.losses

    def _capturable(self) -> bool:
        """Whether a CUDA graph can hold a step; says which parts, if any, keep it from that."""
        avatar = self.avatar
        parts: list[Component] = [avatar.rig, avatar.deformer, avatar.appearance, avatar.rasterizer]
        parts += [term.component for term in self.terms]
        possible = self.config.graphs and avatar.device.type == "cuda" and self.config.debug < 0
        if not (possible and self.optimiser.capturable):
            return False
        return all_capturable(parts, warned=self.ranks.first)

    def _decided(self, count: int) -> tuple[Any, ...]:
        """All that the host decides in a step."""
        weights = tuple((term.name, term.weight_at(self.images)) for term in self.terms)
        return count, self.avatar.surfels.generation, self.avatar.appearance.stage(), weights

    @property
    def _debugging(self) -> bool:
        return 0 <= self.config.debug <= self.images

    def _check(self, batch: Batch, rendering: Rendering) -> None:
        """Look for NaN gradients: each step on the CPU, now and then on a GPU, where looking stalls."""
        look, broken = self._steps % READ_BACK == 0, self._debugging or self.avatar.device.type == "cpu"
        if look:
            error = self.ranks.sum((rendering.output.rgb.detach() - batch.target).square().mean())
            found = self._read_back.look(torch.stack([error / self.ranks.count, self.optimiser.broken()]))
            if found is not None:
                self.psnr = -10.0 * math.log10(max(found[0], 1e-12))
                broken = broken or found[1] > 0.0
        if broken:  # or perhaps: looking is cheap
            try:
                self.optimiser.blame(self.images, self.losses)
            except SurfheadError:
                if self.config.debug >= 0:
                    dump_step(self.folder / "debug", self.images, batch, rendering, self.optimiser)
                raise
        if look and self._captured is not None:
            self._captured.make_room()

    def _densify(self, rendering: Rendering, since: int) -> None:
        surfels, before = self.avatar.surfels, len(self.avatar.surfels)
        with torch.no_grad():
            scale = rendering.surfels.tangents.detach().norm(dim=-2).amax(-1).amax(0)
            seen = self.statistics.gather(self.ranks)
            state = DensifyState(
                self.images,
                self.length,
                seen.mean_gradient(),
                seen.radius,
                self.ranks.largest(scale),
                torch.sigmoid(surfels.parameters["opacity"].detach()),
                surfels.binding(),
                self.extent,
                (self.scene.views.height, self.scene.views.width),
                since,
            )
            plan = made_by("densifier", self.densifier.name, self.densifier.plan(state), DensifyPlan)
            selection = surfels.apply(plan, self.generator)
            self._follow(selection, plan.opacity_ceiling is not None)
            self._agree("after densifying")
        if len(surfels) == 0:
            raise SurfheadError(
                f"The densifier removed every surfel at image {self.images}.",
                "",
                "Lower densifier.cull, or check that the pictures show the rig (`surfhead data check`).",
            )
        log.debug("densified at image %d: %d -> %d surfels", self.images, before, len(surfels))

    def _follow(self, selection: Selection, reset_opacity: bool = False) -> None:
        """Follow a change of the surfels' number with all that is kept of each."""
        self.optimiser.select(selection, reset_opacity)
        if len(selection.source) != len(self.statistics.seen) or bool(selection.fresh.any()):
            self.statistics = Statistics(len(selection.source), self.avatar.device)

    def finish(self) -> None:
        """Look at the avatar a last time (``finishing``), which may add surfels."""
        avatar, before = self.avatar, len(self.avatar.surfels)
        most = made_by("densifier", self.densifier.name, self.densifier.most(), int)
        avatar.shape()
        finish(avatar, self.scene, self.order.views, self.config.tie_unseen, self.ranks, most, self.length)
        if (added := len(avatar.surfels) - before) > 0:
            self._follow(Selection.grown(before, avatar.surfels.triangle.new_zeros(added)))

    def _agree(self, moment: str) -> None:  # on hosts too, from which it follows what is exchanged
        self.ranks.agree({**dict(self.optimiser.named()), "triangle": self.avatar.surfels.triangle}, moment)

    # ---- the run ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Train to the end, or to an interruption, which leaves a checkpoint."""
        error: BaseException | None = None
        config, end = self.config, self.length
        evaluate, save, export = (o.within(end) for o in (config.evaluate, config.checkpoint, config.export))
        self.events.tell("run_started", run=self)
        restore = self.interruption.catch()
        try:
            self.ranks.begin([value for _, value in self.optimiser.named()])
            if self.images == 0 and 0 in config.evaluate.at:
                self._record.evaluate(self, False)
            began, first = time.perf_counter(), self.images
            while self.images < self.length:
                before = self.images
                self._whole = False
                self.step()
                self._whole = True
                self.rate = (self.images - first) / max(time.perf_counter() - began, 1e-9)
                self.events.tell("stepped", run=self, images=self.images, losses=self.losses)
                last = self.images >= self.length
                if evaluate.due(before, self.images) and not last:
                    pause = time.perf_counter()
                    self._record.evaluate(self, False)
                    began += time.perf_counter() - pause
                if last:
                    self._whole = False
                    self.finish()
                    self._whole = True
                if save.due(before, self.images) or last:
                    self.save()
                if self._record.export is not None and (export.due(before, self.images) or last):
                    self.avatar.shape()
                    self._record.export(self)
                if self._asked_to_end():
                    raise KeyboardInterrupt
            if self.length == 0:
                self.save()
            self.avatar.advance(self.images)
            self._record.evaluate(self, True)
            self.ranks.wait()
        except KeyboardInterrupt as interruption:
            error = interruption
            # half a step is not a state to continue from; the last checkpoint is
            if self._whole and not self.interruption.alone:
                self.save()
            raise
        except BaseException as failure:
            error = failure
            self._rescue()
            raise
        finally:
            restore()
            self.close()
            self.events.tell("run_finished", run=self, error=error)

    def close(self) -> None:
        """End what works for the steps: decoding threads and captured graphs; ``run`` does so by itself."""
        self.feed.close()
        if self._captured is not None:
            self._captured.drop()  # processes cannot part while a graph holds their exchange

    def _asked_to_end(self) -> bool:
        """Whether to end after this step; processes that train together end after the same one."""
        look = self._steps % READ_BACK == 0 or self.avatar.device.type == "cpu"
        return (look or self.ranks.count == 1) and self.interruption.agreed()

    # ---- checkpoints -----------------------------------------------------------------------------

    def _rescue(self) -> None:
        """Keep what was learnt since the newest checkpoint, where something beside the steps failed."""
        if self._whole and self.images > self._kept and self.ranks.count == 1:  # the others are elsewhere
            with contextlib.suppress(SurfheadError):  # the first failure is the one to tell
                log.warning("What was learnt is kept in %s; --resume goes on from there.", self.save())

    def save(self) -> Path:
        """Write a checkpoint of everything that the continuation depends on; never one with NaN in it."""
        avatar = self.avatar
        self.optimiser.blame(self.images, self.losses)
        self._agree(f"at image {self.images}")
        statistics = self.statistics.gather(self.ranks)
        path = self.folder / "checkpoints" / f"{self.images:08d}"
        if not self.ranks.first:
            return path
        tensors = avatar.state().tensors()
        tensors |= under("adam", self.optimiser.tensors())
        tensors |= under("statistics", statistics.tensors())
        tensors["random/densifier"] = self.generator.get_state()
        tensors["random/torch"] = torch.get_rng_state()
        meta = {
            "images": self.images,
            "order": [self.order.epoch, self.order.position],
            "steps": self._steps,
            "extent": self.extent,
            "config": as_tables(self.config),
            **self._record.describe(),
        }
        checkpoint.write(path, tensors, meta)
        self._kept = self.images
        self.events.tell("checkpointed", run=self, images=self.images, path=path)
        return path

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Take the optimiser's and the data's state; the avatar was built from the same checkpoint."""
        self.images = self._kept = int(meta["images"])
        self._steps = int(meta["steps"])
        self.order.restore(*meta["order"])
        self.optimiser.restore(below(tensors, "adam"))
        for name, value in self.statistics.tensors().items():
            kept = tensors[f"statistics/{name}"].to(self.avatar.device)
            if kept.shape != value.shape:
                raise ValueError(f'"statistics/{name}" has shape {tuple(kept.shape)}')
            # the first process keeps those of all
            setattr(self.statistics, name, kept if self.ranks.first else torch.zeros_like(kept))
        self.generator.set_state(tensors["random/densifier"].cpu())
        torch.set_rng_state(tensors["random/torch"].cpu())
