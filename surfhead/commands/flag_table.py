"""The familiar flags that concern the run itself and no component; see ``familiar_flags``."""

from __future__ import annotations

from surfhead.core.familiar_flags import DATA, Flag

CACHES = {"cpu": "ram", "cuda": "gpu"}
COUNTED = "image counts"


def cache_of(device: str) -> str:
    """Where pictures are kept, for the device they were kept on there."""
    return CACHES.get(device.partition(":")[0], device)


def _switch(*names: str, sets: str, value: bool | str = True) -> Flag:
    return Flag(names, "off", (sets,), takes="nothing", value=value)


def _counts(name: str, default: str, sets: str, meaning: str = COUNTED) -> Flag:
    return Flag((name,), default, (sets,), takes="counts", meaning=meaning)


def _rate(name: str, default: str, group: str) -> Flag:
    sets = (f"rate.{group}.initial", f"rate.{group}.final")
    return Flag((name,), default, sets, meaning="constant, as there")


def _position(word: str, default: str, key: str) -> Flag:
    return Flag((f"--position_lr_{word}",), default, (f"rate.offset.{key}",))


def _always(name: str, meaning: str) -> Flag:
    return Flag((name,), "off", takes="nothing", meaning=f"always so: {meaning}")


OWN_FLAGS = (
    Flag(("--eval",), "off", ("hold_out",), takes="nothing", value=True),
    Flag(("--iterations",), "30000; GaussianAvatars 600000", ("iterations",)),
    Flag(("--quiet",), "off", option="--quiet"),
    Flag(("--debug",), "off", option="--debug [FROM]"),
)  # spelled here as there; for the table
RUN_FLAGS = (
    Flag(("--source_path", "-s"), option=DATA),
    Flag(("--model_path", "-m"), "output/RANDOM", option="--out"),
    Flag(("--data_device",), "cuda", ("cache",), convert=cache_of, meaning="cpu is ram, cuda is gpu"),
    _switch("--white_background", "-w", sets="background", value="white"),
    Flag(("--debug_from",), "-1", option="--debug"),
    _counts("--test_iterations", "7000 30000", "evaluate.at"),
    Flag(("--interval",), "60000", ("evaluate.every",)),
    _counts("--save_iterations", "7000 30000 and the last", "export.at", f"{COUNTED}, and the last"),
    _counts("--checkpoint_iterations", "", "checkpoint.at"),
    Flag(("--start_checkpoint",), option="--from", meaning="a new run; --resume continues one"),
    _rate("--feature_lr", "0.0025", "sh"),
    _rate("--opacity_lr", "0.05", "opacity"),
    _rate("--scaling_lr", "0.005; with a rig 0.017", "scale"),
    _rate("--rotation_lr", "0.001", "rotation"),
    _position("init", "1.6e-4; with a rig 0.005", "initial"),
    _position("final", "1.6e-6; with a rig 5e-5", "final"),
    _position("delay_mult", "0.01", "delay"),
    _position("max_steps", "30000", "steps"),
    _switch("--detach_eyeball_geometry", sets="freeze.eyeballs"),
    _switch("--detach_boundary", sets="freeze.boundary"),
    _switch("--not_finetune_flame_params", sets="rig.train", value=False),
    _always("--invT_Jacobian", "normals are carried by the inverse transpose"),
    _always("--rotSH", "view directions are turned into the rest frame"),
    Flag(
        ("--target_path",),
        refusal=(
            "Training does not re-enact.",
            "Train first, then use `surfhead reenact RUN --driver DATA`.",
        ),
    ),
)
