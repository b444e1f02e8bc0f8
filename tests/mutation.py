"""Damaged copies of a file: changed bytes, and changed content that is encoded properly again."""

from __future__ import annotations

import copy
import io
import json
import pickle
import random
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import safetensors.numpy
import tomli_w

WORDS = (
    "",
    "0",
    "-1",
    "1",
    "NaN",
    "inf",
    "-1e309",
    "1e30",
    "4294967296",
    "18446744073709551616",
    "x",
    "é",
    "1/",
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 0.5, -7.25, 1e308, float("nan"), float("inf"), 1 << 31, 1 << 53, 10**12, 1 << 70),
    *(
        "",
        "x",
        "..",
        "../../outside",
        "a\0b",
        "1",
        [],
        {},
        [[]],
        [1],
        ["x"],
        {"x": 1},
        [1, 2, 3, 4],
        [[1.0, 2.0]],
    ),
)


INSERTED = (b'[{"', b"\n", b"-", b"999", b",", b"NaN")


def mutants(good: bytes, suffix: str, count: int, seed: int = 0) -> Iterator[bytes]:
    """``count`` damaged copies; every other one is of the kind that a file named ``suffix`` encodes.

    Args:
        good: an undamaged file.
        suffix: such as ``.json``; of other kinds only bytes are changed.
        count: how many.
        seed: of the damage.
    """
    generator = random.Random(seed)
    content = CONTENT.get(suffix, changed_bytes)
    for turn in range(count):
        yield (content if turn % 2 else changed_bytes)(good, generator)


def changed_bytes(good: bytes, generator: random.Random) -> bytes:
    """One to three places changed, cut out, doubled or filled, or the end cut off."""
    raw = bytearray(good)
    for _ in range(generator.randint(1, 3)):
        at = generator.randrange(len(raw)) if raw else 0
        match generator.randrange(6):
            case 0 | 1:
                raw[at : at + 1] = generator.randbytes(1)
            case 2:
                del raw[at : at + generator.randint(1, 40)]
            case 3:
                raw[at:at] = raw[at : at + generator.randint(1, 40)]
            case 4:
                raw[at:at] = generator.choice(
                    (generator.randbytes(4), b'[{"', b"\n", b"-", b"999", b",", b"NaN")
                )
            case _:
                del raw[at if generator.random() < 0.2 else len(raw) :]
    return bytes(raw)


def changed_words(good: bytes, generator: random.Random) -> bytes:
    """A text file with one to three words or lines changed."""
    lines = good.decode("latin1").split("\n")
    for _ in range(generator.randint(1, 3)):
        row = generator.randrange(len(lines))
        words = lines[row].split(" ")
        match generator.randrange(4):
            case 0:
                del lines[row : row + 1]
                lines = lines or [""]
                continue
            case 1:
                words.insert(generator.randrange(len(words) + 1), generator.choice(WORDS))
            case _:
                words[generator.randrange(len(words))] = generator.choice(WORDS)
        lines[row] = " ".join(words)
    return "\n".join(lines).encode("latin1", "replace")


def changed_tree(tree: Any, generator: random.Random) -> Any:
    """Lists and dictionaries in which one to three values are others, of other types, or gone."""
    tree = copy.deepcopy(tree)
    for _ in range(generator.randint(1, 3)):
        at = tree
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = generator.choice(keys)
            inner = at[key]
            if isinstance(inner, (dict, list)) and inner and generator.random() < 0.85:
                at = inner
                continue
            if generator.random() < 0.2:
                del at[key]
            else:
                at[key] = copy.deepcopy(generator.choice(VALUES))
            break
    return tree


def changed_json(good: bytes, generator: random.Random) -> bytes:
    """A JSON file with other values."""
    return json.dumps(changed_tree(json.loads(good), generator)).encode()


def changed_toml(good: bytes, generator: random.Random) -> bytes:
    """A TOML file with other values."""
    tree = changed_tree(tomllib.loads(good.decode()), generator)
    try:
        return tomli_w.dumps(tree).encode()
    except (TypeError, ValueError):  # TOML has no null
        return changed_bytes(good, generator)


def changed_array(value: np.ndarray, generator: random.Random) -> np.ndarray:
    """Another shape, another type, or odd numbers."""
    value = np.array(value)
    if value.dtype.kind == "S":  # changed once already
        return value[:0]
    match generator.randrange(9):
        case 0:
            return value[:0] if value.ndim else value.reshape(1)
        case 1:
            return value.reshape(-1)
        case 2:
            return value[None]
        case 3:
            return value[..., : value.shape[-1] // 2] if value.ndim else value
        case 4:
            with np.errstate(all="ignore"):
                return value.astype(
                    generator.choice((np.float16, np.int8, np.uint64, np.bool_, np.float64, np.complex64))
                )
        case 5:
            with np.errstate(all="ignore"):
                return value.astype(np.float64) * 1e300
        case 6:
            return np.array(float("nan"))
        case 7:
            return np.zeros(value.shape, f"S{generator.randint(1, 9)}")
    flat = value.reshape(-1)
    if flat.size:
        odd = (np.nan, np.inf, 1e30, -1.0) if value.dtype.kind == "f" else (-1, 1 << 30, 0)
        with np.errstate(all="ignore"):
            flat[generator.randrange(flat.size)] = np.array(generator.choice(odd)).astype(value.dtype)
    return flat.reshape(value.shape)


def changed_arrays(arrays: dict[str, Any], generator: random.Random) -> dict[str, Any]:
    """One or two arrays changed, lost, renamed or added."""
    made = dict(arrays)
    for _ in range(generator.randint(1, 2)):
        if not made:
            break
        name = generator.choice(list(made))
        match generator.randrange(5):
            case 0:
                del made[name]
            case 1:
                made[f"{name}{generator.choice(('x', '/', '_0'))}"] = made.pop(name)
            case _:
                if isinstance(made[name], np.ndarray):
                    made[name] = changed_array(made[name], generator)
    return made


def changed_npz(good: bytes, generator: random.Random) -> bytes:
    """An archive with other arrays, or with damaged members under right checksums."""
    if generator.random() < 0.3:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(out, "w") as new:
            chosen = generator.choice(old.namelist())
            for name in old.namelist():
                raw = old.read(name)
                new.writestr(name, changed_bytes(raw, generator) if name == chosen else raw)
        return out.getvalue()
    with np.load(io.BytesIO(good)) as archive:
        made = changed_arrays({name: archive[name] for name in archive.files}, generator)
    out = io.BytesIO()
    np.savez(out, **made)
    return out.getvalue()


def changed_npy(good: bytes, generator: random.Random) -> bytes:
    """Another array."""
    out = io.BytesIO()
    np.save(out, changed_array(np.load(io.BytesIO(good)), generator))
    return out.getvalue()


def changed_safetensors(good: bytes, generator: random.Random) -> bytes:
    """Other tensors, or other values in the header."""
    size = int.from_bytes(good[:8], "little")
    if generator.random() < 0.4:
        header = changed_json(good[8 : 8 + size], generator)
        return len(header).to_bytes(8, "little") + header + good[8 + size :]
    meta = json.loads(good[8 : 8 + size]).get("__metadata__")
    arrays = changed_arrays(safetensors.numpy.load(good), generator)
    kept = {name: np.ascontiguousarray(value) for name, value in arrays.items() if value.dtype.kind in "fiub"}
    return safetensors.numpy.save(kept, meta)


def changed_pickle(good: bytes, generator: random.Random) -> bytes:
    """A pickle that holds other arrays; bytes of it where a class it names is not there."""
    if b"chumpy" in good:
        return changed_bytes(good, generator)
    return pickle.dumps(changed_arrays(pickle.loads(good), generator), generator.randint(0, 5))


def changed_header(good: bytes, generator: random.Random) -> bytes:
    """A PLY file whose header is changed: bytes, words or lines."""
    at = good.find(b"end_header\n") + 11
    change = generator.choice((changed_bytes, changed_words))
    return change(good[:at], generator) + good[at:]


CONTENT: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": changed_json,
    ".toml": changed_toml,
    ".txt": changed_words,
    ".obj": changed_words,
    ".npz": changed_npz,
    ".npy": changed_npy,
    ".safetensors": changed_safetensors,
    ".pkl": changed_pickle,
    ".ply": changed_header,
}
