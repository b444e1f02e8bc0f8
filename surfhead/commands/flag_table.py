"""The flags of GaussianAvatars and SurFhead, and what each is here: one row a flag.

Settings are named as `--set` names them. Nothing here imports a component.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DATA = "DATA"
ANY = "any value"
CACHES = {"cpu": "ram", "cuda": "gpu"}


@dataclass(frozen=True)
class Flag:
    """One flag, and what it is here.

    Attributes:
        names: its spellings, such as ``("--rm_bf", "--rm_bg")``; ``_`` and ``-`` are equal.
        default: its default there.
        sentence: what it does here, or why it does nothing.
        sets: the settings it changes: to a constant, or to what a function makes of the text given
            (``as_given`` where the text itself is the value).
        takes: a ``value``, several ``counts`` (whole numbers), or ``nothing``.
        option: an own option of `surfhead train` that it becomes; ``DATA`` is the argument.
        advice: what to use instead; the flag is refused.
        idle: values with which it changes nothing, which is noted; ``ANY`` for all.
        yields_to: flags beside which it means nothing more.
        present: own words a command line means that names its data with ``--source_path``, has this flag and
            chooses no preset.
        absent: own words a command line means that names its data with ``--source_path``, does not have
            this flag and chooses no deformer.
        needs: kind and name of a component that must be able to run here; where it cannot, this is noted.
    """

    names: tuple[str, ...]
    default: str
    sentence: str
    sets: Mapping[str, Any] = field(default_factory=dict)
    takes: Literal["value", "counts", "nothing"] = "value"
    option: str = ""
    advice: str = ""
    idle: tuple[str, ...] = ()
    yields_to: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    needs: tuple[str, str] | None = None

    def here(self) -> str:
        """What it is here, as a line for users."""
        if self.advice:
            but = f" ({', '.join(self.idle)} is accepted and changes nothing)" if self.idle else ""
            return f"refused{but}: {self.sentence} {self.advice}"
        if self.idle == (ANY,):
            return f"changes nothing: {self.sentence}"
        parts = [key if callable(value) else f"{key} = {value}" for key, value in self.sets.items()]
        return "; ".join(filter(None, (", ".join([*parts, *filter(None, (self.option,))]), self.sentence)))


def as_given(text: str) -> str:
    """The text itself, read as `--set` reads it."""
    return text


def _rest(text: str) -> float:
    return 1.0 - float(text)


def _cache_of(device: str) -> str:
    return CACHES.get(device.partition(":")[0], device)


def _value(
    name: str | tuple[str, ...],
    default: str,
    keys: str | tuple[str, ...],
    sentence: str,
    **more: Any,
) -> Flag:
    keys = (keys,) if isinstance(keys, str) else keys
    names = (name,) if isinstance(name, str) else name
    return Flag(names, default, sentence, dict.fromkeys(keys, as_given), **more)


def _switch(name: str | tuple[str, ...], sentence: str, sets: Mapping[str, Any], **more: Any) -> Flag:
    names = (name,) if isinstance(name, str) else name
    return Flag(names, "off", sentence, sets, takes="nothing", **more)


def _counts(name: str, default: str, key: str, sentence: str) -> Flag:
    return Flag((name,), default, sentence, {key: as_given}, takes="counts")


def _rate(name: str, default: str, group: str, what: str) -> Flag:
    keys = (f"rate.{group}.initial", f"rate.{group}.final")
    return _value(name, default, keys, f"Learning rate of {what}, constant.")


def _weight(name: str | tuple[str, ...], default: str, term: str, what: str) -> Flag:
    return _value(name, default, f"regularizers.{term}.weight", f"Weight of {what}.")


def _absent(name: str, what: str, advice: str) -> Flag:
    sentence = f"There is no term for {what} here."
    return Flag((name,), "0", sentence, advice=advice, idle=("0",))


LEAVE_OUT = "Leave it out, or write the term as a plugin of kind regularizer."
POSES = ("rotation", "neck", "jaw", "eyes")

DATA_AND_RUN = (
    Flag(("--source_path", "-s"), "", "The data set's folder.", option=DATA),
    Flag(("--model_path", "-m"), "output/RANDOM", "The run's folder.", option="--out"),
    _switch("--eval", "Val and test splits are kept out of training.", {"hold_out": True}),
    _switch(
        "--bind_to_mesh",
        "A rig, as ever here; with --source_path it means --preset paper, and without it and --deformer,"
        " --preset static.",
        {},
        present=("--preset", "paper"),
        absent=("--preset", "static"),
    ),
    _value(
        "--images",
        "images",
        "data.images",
        "Folder of a COLMAP data set's pictures; other layouts name their files.",
        idle=("images",),
    ),
    _value(
        ("--resolution", "-r"),
        "-1",
        "data.resolution",
        "1, 2, 4 and 8 divide the size, other values are a width, -1 limits the width to 1600.",
    ),
    _switch("--half_res", "Pictures of half the size.", {"data.resolution": 2}),
    _value(
        "--select_camera_id",
        "-1",
        "data.camera",
        "Trains on one camera of a VHAP data set; -1: all.",
        idle=("-1",),
    ),
    Flag(
        ("--data_device",),
        "cuda",
        "Where pictures are kept: cpu is ram, cuda is gpu.",
        {"cache": _cache_of},
    ),
    _switch(("--white_background", "-w"), "Pictures are composited on white.", {"background": "white"}),
    _value("--iterations", "30000; GaussianAvatars 600000", "iterations", "Training images in total."),
    _counts("--test_iterations", "7000 30000", "evaluate.at", "Image counts at which to evaluate."),
    _value("--interval", "60000", "evaluate.every", "Images between evaluations."),
    _counts("--save_iterations", "7000 30000 and the last", "export.at", "Image counts; the last, too."),
    _counts("--checkpoint_iterations", "", "checkpoint.at", "Image counts at which to write a checkpoint."),
    Flag(("--start_checkpoint",), "", "A new run from another's surfels; --resume goes on.", option="--from"),
    Flag(("--quiet",), "off", "No progress display.", takes="nothing", option="--quiet"),
    Flag(("--debug",), "off", "Tracebacks, and checks of every step.", option="--debug [FROM]"),
    Flag(("--debug_from",), "-1", "Checks of every step from this image on.", option="--debug"),
    Flag(
        ("--detect_anomaly",),
        "off",
        "Values and gradients are checked for NaN at every step, and a step that fails is dumped.",
        takes="nothing",
        option="--debug=0",
    ),
    _value(
        "--ip",
        "127.0.0.1",
        "observers.viewer.host",
        "Address of the page that follows the run.",
        needs=("observer", "viewer"),
    ),
    _value(
        "--port",
        "60000",
        "observers.viewer.port",
        "Port of the page that follows the run.",
        needs=("observer", "viewer"),
    ),
    Flag(
        ("--target_path",),
        "",
        "Training does not re-enact.",
        advice="Train first, then use `surfhead reenact RUN --driver DATA`.",
    ),
)
MODEL = (
    _switch(
        "--DTF",
        "Surfels follow their triangle's Jacobian; not beside --train_kinematic.",
        {"deformer.name": "jacobian"},
        yields_to=("--train_kinematic",),
    ),
    _switch("--train_kinematic", "Surfels follow blended Jacobians.", {"deformer.name": "jbs"}),
    Flag(
        ("--train_kinematic_dist",),
        "off",
        "There is no variant of blend skinning by distance here.",
        takes="nothing",
        advice="Use --train_kinematic, the deformer jbs, whose weights are learnt.",
    ),
    _switch("--invT_Jacobian", "Always so: normals are carried by the inverse transpose.", {}),
    _switch("--rotSH", "Always so: view directions are turned into the rest frame.", {}),
    _value("--sh_degree", "3", "appearance.degree", "Highest degree of the harmonics."),
    _switch(
        "--SGs",
        "Highlights: lasg, or what --sg_type says.",
        {"appearance.name": "lasg"},
        yields_to=("--sg_type",),
    ),
    _value("--sg_type", "", "appearance.name", "The kind of highlights: sg, asg or lasg."),
    Flag(
        ("--sg_degree",),
        "24",
        "Highlights have 24 features a surfel.",
        advice="Leave it out, or write the appearance as a plugin.",
        idle=("24",),
    ),
    _switch("--spec_only_eyeball", "Highlights on the eyeballs alone.", {"appearance.region": "eyeballs"}),
    _switch("--spec_only_teeth", "Highlights on the teeth alone.", {"appearance.region": "teeth"}),
    Flag(
        ("--convert_SHs_python", "--convert_cov3D_python", "--compute_cov3D_python"),
        "off",
        "Colours and covariances are evaluated where the rasterizer is.",
        takes="nothing",
        advice="Use --rasterizer torch, which evaluates everything in PyTorch.",
    ),
    Flag(
        ("--backface_culling_smooth", "--backface_culling_hard"),
        "off",
        "Surfels are seen from both sides, and opacity does not depend on the side.",
        takes="nothing",
        advice="Leave it out; --lambda_eye_alpha keeps what is behind the eyes from showing through.",
    ),
    Flag(
        ("--backface_culling_smooth_sigma",),
        "1.0",
        "It means nothing without --backface_culling_smooth, which is refused.",
        idle=(ANY,),
    ),
    _switch("--disable_flame_static_offset", "FLAME without static offsets.", {"rig.static_offset": False}),
    _switch("--not_finetune_flame_params", "The rig's parameters stay as tracked.", {"rig.train": False}),
)
DENSIFYING = (
    _value("--densify_from_iter", "500", "densifier.start", "First image count at which to densify."),
    _value("--densify_until_iter", "15000", "densifier.stop", "Last image count at which to densify."),
    _value(
        ("--densification_interval", "--densification_interal"),
        "100",
        "densifier.every",
        "Images between plans.",
    ),
    _value(
        "--densify_grad_threshold", "0.0002", "densifier.threshold", "Gradient above which surfels densify."
    ),
    _value(
        "--percent_dense", "0.01", "densifier.dense_fraction", "Largest scale that is cloned and not split."
    ),
    Flag(
        ("--densification_type",),
        "arithmetic_mean",
        "The gradient that decides is the arithmetic mean over the views that saw the surfel.",
        advice="Leave it out, or write a plugin of kind densifier.",
        idle=("arithmetic_mean",),
    ),
    _value("--opacity_reset_interval", "3000", "densifier.reset_every", "Images between opacity resets."),
    _value("--opacity_cull", "0.05", "densifier.cull", "Opacity below which a surfel is pruned."),
    Flag(
        ("--tight_pruning",),
        "off",
        "Pruning has its limits as settings.",
        takes="nothing",
        advice="Use --opacity_cull to prune more, or --set densifier.large_fraction=0.1 for the size.",
    ),
    Flag(
        ("--tight_pruning_threshold",),
        "0.1",
        "It means nothing without --tight_pruning, which is refused.",
        idle=(ANY,),
    ),
    _switch("--amplify_teeth_grad", "Gradients of the teeth count 20-fold.", {"densifier.teeth_gain": 20.0}),
    _switch(
        "--detach_eyeball_geometry",
        "Surfels of the eyeballs keep their place and number.",
        {"freeze.eyeballs": True, "densifier.detach_eyeballs": True},
    ),
    _switch("--detach_teeth_geometry", "Surfels of the teeth keep their place.", {"freeze.teeth": True}),
    _switch("--detach_boundary", "Surfels at the open boundary keep their place.", {"freeze.boundary": True}),
)
RATES = (
    _rate("--feature_lr", "0.0025", "sh", "the harmonics"),
    _rate("--opacity_lr", "0.05", "opacity", "opacities"),
    _rate("--scaling_lr", "0.005; with a rig 0.017", "scale", "scales"),
    _rate("--rotation_lr", "0.001", "rotation", "rotations"),
    _rate("--blend_weight_lr", "0.001", "blend", "blend weights"),
    _value(
        "--position_lr_init", "1.6e-4; with a rig 0.005", "rate.offset.initial", "First rate of positions."
    ),
    _value("--position_lr_final", "1.6e-6; with a rig 5e-5", "rate.offset.final", "Last rate of positions."),
    _value("--position_lr_delay_mult", "0.01", "rate.offset.delay", "Factor on the first rate at the start."),
    _value("--position_lr_max_steps", "30000", "rate.offset.steps", "Images over which the rate falls."),
    _value(
        "--specular_lr_max_steps",
        "300000",
        "rate.network.steps",
        "Images over which the rate of the highlights' network falls.",
    ),
    _value("--flame_expr_lr", "0.001", "rate.rig.expression.initial", "Rate of the expressions."),
    _value("--flame_trans_lr", "1e-6", "rate.rig.translation.initial", "Rate of the translations."),
    _value(
        "--flame_pose_lr", "1e-5", tuple(f"rate.rig.{name}.initial" for name in POSES), "Rate of the poses."
    ),
)
LOSS = (
    Flag(
        ("--lambda_dssim",),
        "0.2",
        "Weight of the dissimilarity; the absolute error gets 1 - the value.",
        {"regularizers.dssim.weight": as_given, "regularizers.l1.weight": _rest},
    ),
    Flag(
        ("--lambda_normal",),
        "0.05",
        "Weight of normals against the depth's normals, a mean over the whole picture.",
        {"regularizers.normal.weight": as_given, "regularizers.normal.mean": "picture"},
    ),
    _value(
        "--depth_ratio",
        "0",
        "regularizers.normal.depth_ratio",
        "Depth whose normals count: 1 median, 0 expected.",
    ),
    _switch(
        ("--rm_bg", "--rm_bf"),
        "Normals count inside the foreground mask alone.",
        {"regularizers.normal.masked": True},
    ),
    _weight("--lambda_dist", "0", "distortion", "depth distortion"),
    _weight("--lambda_normal_norm", "", "normal_length", "normals' change of length"),
    _weight("--lambda_xyz", "0.01", "offset", "surfels far from their triangle"),
    _value("--threshold_xyz", "1", "regularizers.offset.limit", "Distance allowed, in the triangle's scale."),
    _weight("--lambda_scale", "1", "scale", "large surfels"),
    _value("--threshold_scale", "0.6", "regularizers.scale.limit", "Size allowed, in the triangle's scale."),
    Flag(
        ("--metric_xyz", "--metric_scale"),
        "off",
        "Limits are in units of the triangle's scale, not in metres.",
        takes="nothing",
        advice="Leave it out, and give --threshold_xyz and --threshold_scale in these units.",
    ),
    _weight(("--lambda_eye_alpha", "--lamda_eye_alpha"), "0.1", "eye_opacity", "opaque eyeballs"),
    _absent(
        "--lambda_teeth_alpha",
        "opaque teeth beside opaque eyeballs",
        "Use --lambda_eye_alpha with --set regularizers.eye_opacity.region=teeth for the teeth instead.",
    ),
    _absent("--lambda_eye_scale", "the eyeballs' sizes alone", "Use --lambda_scale, which limits all sizes."),
    _weight("--lambda_blend_weight", "0", "blend_weight", "blend weights of neighbours"),
    _weight("--lambda_dynamic_offset", "0", "dynamic_offset", "FLAME's per-frame vertex offsets"),
    _absent(
        "--lambda_dynamic_offset_std",
        "the spread of vertex offsets over time",
        "Use --lambda_dynamic_offset, which limits their size.",
    ),
    _weight("--lambda_laplacian", "0", "laplacian", "the Laplacian of vertex offsets"),
    _absent(
        "--lambda_laplacian_Jacobian",
        "the Laplacian of Jacobians",
        "Use --train_kinematic, the deformer jbs, which blends the Jacobians of neighbours.",
    ),
    _absent("--lambda_ids", "lambda_ids", LEAVE_OUT),
    _absent("--lambda_erank", "the effective rank of surfels", LEAVE_OUT),
)
TABLE: tuple[Flag, ...] = (*DATA_AND_RUN, *MODEL, *DENSIFYING, *RATES, *LOSS)
