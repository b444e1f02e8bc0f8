"""The familiar flags: each changes the setting it should, or is refused with what to use instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from surfhead.commands.familiar_flags import plain
from surfhead.commands.flag_table import TABLE
from surfhead.commands.flags import table_rows
from surfhead.core.config import RunConfig, as_tables
from surfhead.core.registry import registry
from surfhead.runs import configuration as configured
from surfhead.runs import train as training
from surfhead.training.optimiser import Optimiser
from tests.commands.conftest import Said, Surfhead
from tests.runs.tiny_run import tiny_avatar

RATES = {
    "--feature_lr": "sh",
    "--opacity_lr": "opacity",
    "--scaling_lr": "scale",
    "--rotation_lr": "rotation",
    "--blend_weight_lr": "blend",
}
OFFSET = {"init": "initial", "final": "final", "delay_mult": "delay"}
POSES = ("rotation", "neck", "jaw", "eyes")
# words -> settings of the resolved configuration; each differs from what it is without the words
SETTINGS: dict[str, dict[str, Any]] = {
    "--eval --preset static": {"hold_out": True},
    "--iterations 77": {"iterations": 77},
    "--debug": {"debug": 0},
    "--debug_from 500": {"debug": 500},
    "--resolution 2": {"data.resolution": 2},
    "-r 400": {"data.resolution": 400},
    "--data_device cpu": {"cache": "ram"},
    "--data_device cuda": {"cache": "gpu"},
    "--data_device disk": {"cache": "disk"},
    "--white_background": {"background": [1.0, 1.0, 1.0]},
    "-w": {"background": [1.0, 1.0, 1.0]},
    "--sh_degree 2": {"appearance.degree": 2},
    "--test_iterations 7000 30000": {"evaluate.at": [7000, 30000]},
    "--interval 60000": {"evaluate.every": 60000},
    "--ip 127.0.0.1": {"observers.viewer.host": "127.0.0.1"},
    "--port 60000": {"observers.viewer.port": 60000},
    "--viewer": {"observers.viewer": {}},
    "--save_iterations 7000 30000": {"export.at": [7000, 30000]},
    "--checkpoint_iterations 7000": {"checkpoint.at": [7000]},
    **{f"{flag} 0.5": {f"rate.{g}.initial": 0.5, f"rate.{g}.final": 0.5} for flag, g in RATES.items()},
    **{f"--position_lr_{word} 0.5": {f"rate.offset.{key}": 0.5} for word, key in OFFSET.items()},
    "--position_lr_max_steps 900": {"rate.offset.steps": 900},
    "--densify_from_iter 501": {"densifier.start": 501},
    "--densify_until_iter 15001": {"densifier.stop": 15001},
    "--densification_interval 101": {"densifier.every": 101},
    "--densification_interal 101": {"densifier.every": 101},
    "--densify_grad_threshold 3e-4": {"densifier.threshold": 3e-4},
    "--percent_dense 0.02": {"densifier.dense_fraction": 0.02},
    "--opacity_reset_interval 3000": {"densifier.reset_every": 3000},
    "--opacity_cull 0.005": {"densifier.cull": 0.005},
    "--amplify_teeth_grad": {"densifier.teeth_gain": 20.0},
    "--lambda_dssim 0.4": {"regularizers.dssim.weight": 0.4, "regularizers.l1.weight": 0.6},
    "--rm_bf": {"regularizers.normal.masked": True},
    "--rm_bg": {"regularizers.normal.masked": True},
    "--detach_eyeball_geometry --preset -eyeballs": {
        "freeze.eyeballs": True,
        "densifier.detach_eyeballs": True,
    },
    "--detach_boundary": {"freeze.boundary": True},
    "--lamda_eye_alpha 0.3": {"regularizers.eye_opacity.weight": 0.3},
    "--lambda_eye_alpha 0.3": {"regularizers.eye_opacity.weight": 0.3},
    "--SGs --preset vanilla": {"appearance.name": "lasg"},
    "--sg_type sg": {"appearance.name": "sg"},
    "--sg_type asg": {"appearance.name": "asg"},
    "--sg_type lasg --preset vanilla": {"appearance.name": "lasg"},
    "--spec_only_eyeball": {"appearance.region": "eyeballs"},
    "--DTF": {"deformer.name": "jacobian"},
    "--train_kinematic --preset vanilla": {"deformer.name": "jbs"},
    "--lambda_normal_norm 0.5": {"regularizers.normal_length.weight": 0.5},
    "--lambda_normal 0.5": {"regularizers.normal.weight": 0.5},
    "--lambda_dist 5": {"regularizers.distortion.weight": 5},
    "--depth_ratio 1": {"regularizers.normal.depth_ratio": 1},
    "--lambda_xyz 0.5": {"regularizers.offset.weight": 0.5},
    "--threshold_xyz 2": {"regularizers.offset.limit": 2},
    "--lambda_scale 0.5": {"regularizers.scale.weight": 0.5},
    "--threshold_scale 0.7": {"regularizers.scale.limit": 0.7},
    "--not_finetune_flame_params --preset paper": {"rig.train": False},
    "--half_res": {"data.resolution": 2},
    "--select_camera_id 7": {"data.camera": 7},
    "--images images_2": {"data.images": "images_2"},
    "--detect_anomaly": {"debug": 0},
    "--spec_only_teeth": {"appearance.region": "teeth"},
    "--disable_flame_static_offset": {"rig.static_offset": False},
    "--detach_teeth_geometry": {"freeze.teeth": True},
    "--specular_lr_max_steps 900": {"rate.network.steps": 900},
    "--lambda_blend_weight 0.5": {"regularizers.blend_weight.weight": 0.5},
    "--lambda_dynamic_offset 0.5": {"regularizers.dynamic_offset.weight": 0.5},
    "--lambda_laplacian 0.5": {"regularizers.laplacian.weight": 0.5},
    "--flame_expr_lr 0.5": {"rate.rig.expression.initial": 0.5},
    "--flame_trans_lr 0.5": {"rate.rig.translation.initial": 0.5},
    "--flame_pose_lr 0.5": {f"rate.rig.{name}.initial": 0.5 for name in POSES},
}
# words -> arguments of the run besides its configuration
ARGUMENTS: dict[str, dict[str, Any]] = {
    "--source_path heads/her": {"data": "heads/her", "preset": "static"},
    "-s heads/her": {"data": "heads/her", "preset": "static"},
    "-s heads/her --bind_to_mesh": {"data": "heads/her", "preset": "paper"},
    "-s heads/her --bind_to_mesh --DTF": {"data": "heads/her", "preset": "paper"},
    "-s heads/her --bind_to_mesh --preset fast": {"data": "heads/her", "preset": "fast"},
    "-s heads/her --deformer lbs": {"data": "heads/her", "preset": "fast"},
    "-s heads/her --DTF": {"data": "heads/her", "preset": "fast"},
    "-s heads/her --preset paper": {"data": "heads/her", "preset": "paper"},
    "--model_path there": {"out": Path("there")},
    "-m there": {"out": Path("there")},
    "--start_checkpoint run/checkpoints/00000100": {"start_from": Path("run/checkpoints/00000100")},
    "--quiet": {"quiet": True},
}
ALREADY_SO = ("--invT_Jacobian", "--rotSH", "--bind_to_mesh")
TORCH = "Use --rasterizer torch, which evaluates everything in PyTorch."
CULLING = "Leave it out; --lambda_eye_alpha keeps what is behind the eyes from showing through."
UNITS = "Leave it out, and give --threshold_xyz and --threshold_scale in these units."
A_PLUGIN = "Leave it out, or write the term as a plugin of kind regularizer."
REFUSED = {
    "--convert_SHs_python": TORCH,
    "--convert_cov3D_python": TORCH,
    "--compute_cov3D_python": TORCH,
    "--target_path heads/him": "Train first, then use `surfhead reenact RUN --driver DATA`.",
    "--backface_culling_smooth": CULLING,
    "--backface_culling_hard": CULLING,
    "--tight_pruning": "Use --opacity_cull to prune more, or "
    "--set densifier.large_fraction=0.1 for the size.",
    "--train_kinematic_dist": "Use --train_kinematic, the deformer jbs, whose weights are learnt.",
    "--metric_xyz": UNITS,
    "--metric_scale": UNITS,
    "--sg_degree 12": "Leave it out, or write the appearance as a plugin.",
    "--densification_type geometric_mean": "Leave it out, or write a plugin of kind densifier.",
    "--lambda_ids 0.1": A_PLUGIN,
    "--lambda_erank 0.1": A_PLUGIN,
    "--lambda_dynamic_offset_std 0.1": "Use --lambda_dynamic_offset, which limits their size.",
    "--lambda_laplacian_Jacobian 0.1": "Use --train_kinematic, the deformer jbs, which blends the "
    "Jacobians of neighbours.",
    "--lambda_eye_scale 0.1": "Use --lambda_scale, which limits all sizes.",
    "--lambda_teeth_alpha 0.1": "Use --lambda_eye_alpha with --set regularizers.eye_opacity.region=teeth for "
    "the teeth instead.",
}
# words that change nothing -> the note that says so
NOTED = {
    "--backface_culling_smooth_sigma 1.0": "It means nothing without --backface_culling_smooth, which "
    "is refused.",
    "--tight_pruning_threshold 0.2": "It means nothing without --tight_pruning, which is refused.",
    "--sg_degree 24": "Highlights have 24 features a surfel.",
    "--images images": "Folder of a COLMAP data set's pictures; other layouts name their files.",
    "--select_camera_id -1": "Trains on one camera of a VHAP data set; -1: all.",
    "--densification_type arithmetic_mean": "The gradient that decides is the arithmetic mean over the views "
    "that saw the surfel.",
    "--lambda_ids 0": "There is no term for lambda_ids here.",
    "--lambda_erank 0.0": "There is no term for the effective rank of surfels here.",
    "--lambda_dynamic_offset_std 0": "There is no term for the spread of vertex offsets over time here.",
    "--lambda_laplacian_Jacobian 0": "There is no term for the Laplacian of Jacobians here.",
    "--lambda_eye_scale 0": "There is no term for the eyeballs' sizes alone here.",
    "--lambda_teeth_alpha 0": "There is no term for opaque teeth beside opaque eyeballs here.",
}


@dataclass
class Asked:
    """What a command line asked for: the run's arguments and the resolved configuration."""

    said: Said
    arguments: dict[str, Any]
    config: RunConfig | None

    def setting(self, key: str) -> Any:
        """A setting by its dotted key, None where the configuration leaves it to its default."""
        assert self.config is not None, self.said.err
        found: Any = as_tables(self.config)
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found


Ask = Callable[..., Asked]


@pytest.fixture
def ask(surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """``ask("--sh_degree", "2")``: `surfhead train` with these words, stopped before it trains."""

    def run(*words: str) -> Asked:
        asked = Asked(Said(0, "", ""), {}, None)

        def train(data: str | None, **given: Any) -> Path:
            asked.arguments = {"data": data, **given}
            configuration = {key: given[key] for key in ("preset", "file", "settings")}
            asked.config = configured.configure(None, **configuration)
            return tmp_path

        monkeypatch.setattr(training, "train", train)
        asked.said = surfhead("train", *words)
        return asked

    return run


@pytest.mark.parametrize("words", SETTINGS)
def test_a_flag_changes_its_settings(ask: Ask, words: str) -> None:
    flag, *rest = words.split(" --preset ")
    asked = ask(*flag.split(), *(("--preset", rest[0]) if rest else ()))
    assert asked.said.code == 0, asked.said.err
    assert {key: asked.setting(key) for key in SETTINGS[words]} == SETTINGS[words]
    without = ask(*(("--preset", rest[0]) if rest else ()))
    assert all(without.setting(key) != value for key, value in SETTINGS[words].items())


@pytest.mark.parametrize("words", ARGUMENTS)
def test_a_flag_changes_an_argument_of_the_run(ask: Ask, words: str) -> None:
    asked = ask(*words.split())
    assert asked.said.code == 0, asked.said.err
    assert {key: asked.arguments[key] for key in ARGUMENTS[words]} == ARGUMENTS[words]


@pytest.mark.parametrize("flag", ALREADY_SO)
def test_what_is_always_so_is_accepted_and_changes_nothing(ask: Ask, flag: str) -> None:
    asked = ask(flag)
    assert asked.said.code == 0, asked.said.err
    assert asked.config == ask().config


@pytest.mark.parametrize("words", REFUSED)
def test_a_refusal_says_what_to_use_instead(ask: Ask, words: str) -> None:
    asked = ask(*words.split())
    assert (asked.said.code, asked.said.out, asked.config) == (2, "", None)
    first, reason, remedy = asked.said.err.splitlines()
    assert first == f'"{words.partition(" ")[0]}" is not accepted here.'
    assert reason.endswith(".")
    assert remedy == REFUSED[words]


@pytest.mark.parametrize("words", NOTED)
def test_what_changes_nothing_is_accepted_with_a_note(ask: Ask, words: str) -> None:
    asked = ask(*words.split())
    assert (asked.said.code, asked.said.err) == (0, f'note: "{words}" changes nothing: {NOTED[words]}\n')
    assert asked.config == ask().config


def test_every_flag_has_a_case_above() -> None:
    words = [*SETTINGS, *ARGUMENTS, *ALREADY_SO, *REFUSED, *NOTED]
    cases = {word for line in words for word in line.split()}
    declared = {name for flag in TABLE for name in flag.names}
    assert declared - cases == set()


def test_the_settings_exist_where_only_a_run_looks(ask: Ask) -> None:
    words = [word for flag in RATES for word in (flag, "0.5")] + ["--position_lr_init", "0.25"]
    config = ask(*words, "--flame_trans_lr", "0.125").config
    assert config is not None
    groups = Optimiser(tiny_avatar(), config, 1.0).groups  # refuses rates it does not know
    assert {groups[name].schedule.at(0, 9) for name in ("opacity", "log_scale", "quaternion")} == {0.5}
    assert groups["offset"].schedule.at(0, 9) == 0.25
    known = registry().create("rig", "flame").parameters()
    assert known.keys() >= {*POSES, "translation", "expression"}
    for name in ("vhap", "facetalk", "blender", "colmap"):
        assert registry().create("dataset", name, {"resolution": 2}).options.resolution == 2


SPELLINGS = {
    "a dash and =": (["--densification-interval=7"], "densifier.every", 7),
    "both signs": (["--densify-from_iter", "7"], "densifier.start", 7),
    "a short flag and =": (["-r=2"], "data.resolution", 2),
    "a short flag and its value in one": (["-r2"], "data.resolution", 2),
    "a negative value": (["-r", "-1"], "data.resolution", -1),
    "a list after =": (["--save_iterations=7", "9"], "export.at", [7, 9]),
    "a list with commas": (["--save_iterations", "7,9"], "export.at", [7, 9]),
    "a list before other flags": (["--save-iterations", "7", "9", "-w"], "export.at", [7, 9]),
    "none of a list": (["--save_iterations", "-1"], "export.at", []),
    "a number as Python writes it": (["--opacity_cull", ".25"], "densifier.cull", ".25"),
    "an own option with an underscore": (["--batch_size", "4"], "batch_size", 4),
    "a preset that looks like a flag": (["--preset", "-eyeballs", "-w"], "preset", "-eyeballs"),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_spellings(ask: Ask, case: str) -> None:
    words, key, value = SPELLINGS[case]
    assert ask(*words).setting(key) == value


ORDERS: list[tuple[str, str, Any]] = [
    ("--iterations 5 --set iterations=6", "iterations", 6),
    ("--set iterations=6 --iterations 5", "iterations", 5),
    ("--lambda_dssim 0.3 --regularizer dssim=0.5", "regularizers.dssim.weight", 0.5),
    ("--regularizer dssim=0.5 --lambda_dssim 0.3", "regularizers.dssim.weight", 0.3),
    ("--set regularizers.dssim=0.5 --lambda_dssim 0.3", "regularizers.dssim.weight", 0.3),
    ("--lambda_dssim 0.3 --set regularizers.dssim.weight=0.5", "regularizers.dssim.weight", 0.5),
    ("--set densifier.every=5 --densification_interval 7", "densifier.every", 7),
    ("--densification_interval 7 --set densifier.every=5", "densifier.every", 5),
    ("--densification_interval 7 --densification_interal 9", "densifier.every", 9),
    ("--select_camera_id 3 --select_camera_id -1", "data.camera", None),
    ("--sg_degree 12 --sg_degree 24 --set seed=3", "seed", 3),
    ("--deformer lbs --DTF", "deformer.name", "jacobian"),
    ("--DTF --deformer lbs", "deformer.name", "lbs"),
    ("--set deformer=lbs --DTF", "deformer.name", "jacobian"),
    ("--appearance sh --SGs", "appearance.name", "lasg"),
    # two flags of one model, not two wishes
    ("--train_kinematic --DTF --rotSH --invT_Jacobian", "deformer.name", "jbs"),
    ("--sg_type asg --SGs", "appearance.name", "asg"),
    # a repeatable option on both sides of another
    ("--set seed=1 --iterations 5 --set iterations=6", "iterations", 6),
    ("--set iterations=6 --iterations 5 --set seed=1", "iterations", 5),
    ("--iterations 5 --set iterations=6 --iterations 7", "iterations", 7),
    ("--device cpu --set device=auto", "device", "auto"),
    ("--set device=auto --device cpu", "device", "cpu"),
    ("--debug 5 --set debug=7", "debug", 7),
    ("--set debug=7 --debug 5", "debug", 5),
    ("--port 80 --viewer --set observers.viewer.port=81", "observers.viewer.port", 81),
    ("--viewer --port 80", "observers.viewer.port", 80),
    ("--eval --set hold_out=false", "hold_out", False),
    # options given before the component are kept
    ("--sh_degree 1 --SGs --sg_type asg", "appearance.degree", 1),
]


@pytest.mark.parametrize(("words", "key", "value"), ORDERS)
def test_the_later_of_two_words_wins(ask: Ask, words: str, key: str, value: Any) -> None:
    assert ask(*words.split()).setting(key) == value


MISUSED = {
    "--sh_degree": '"--sh_degree" has no value.',
    "--sh_degree --eval": '"--sh_degree" has no value.',
    "--DTF=yes": '"--DTF" was given "yes".',
    "--test_iterations": '"--test_iterations" has no image counts.',
    "--test_iterations=often": '"--test_iterations" has no image counts.',
    "--lambda_dssim much": '"--lambda_dssim" was given "much".',
}


@pytest.mark.parametrize("words", MISUSED)
def test_misuse_is_three_lines(ask: Ask, words: str) -> None:
    asked = ask(*words.split())
    assert (asked.said.code, asked.config) == (2, None)
    assert asked.said.err.splitlines()[0] == MISUSED[words]
    assert len(asked.said.err.splitlines()) == 3


def test_flags_nobody_knows_are_still_errors(ask: Ask) -> None:
    asked = ask("--sh_degre", "2")
    assert asked.said.code == 2
    assert "--sh_degre" in asked.said.err


def test_the_table_is_printed(surfhead: Surfhead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = surfhead("flags")
    assert said.code == 0, said.err
    line = next(line for line in said.out.splitlines() if "--densification_interal" in line)
    names = ["--densification_interval", "--densification_interal"]
    assert line.split() == [*names, "100", "densifier.every;", "Images", "between", "plans."]
    rows = json.loads(surfhead("flags", "--json").out)
    assert rows == table_rows()
    row = next(row for row in rows if row["flag"] == "--lambda_dssim")
    assert row["here"] == (
        "regularizers.dssim.weight, regularizers.l1.weight; "
        "Weight of the dissimilarity; the absolute error gets 1 - the value."
    )
    refused = next(row for row in rows if row["flag"].startswith("--convert_SHs_python"))
    assert refused["here"].startswith("refused: ")
    assert len({plain(row["flag"]) for row in rows}) == len(rows)
