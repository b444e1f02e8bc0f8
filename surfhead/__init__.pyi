from surfhead.avatars.avatar import Avatar as Avatar
from surfhead.avatars.rendering import Rendering as Rendering
from surfhead.core.errors import SurfheadError as SurfheadError
from surfhead.core.types import Cameras as Cameras
from surfhead.core.types import WorldSurfels as WorldSurfels
from surfhead.drawing.camera_path import orbit as orbit
from surfhead.drawing.camera_path import spiral as spiral
from surfhead.drawing.rasterize import rasterize as rasterize
from surfhead.measuring.evaluation import Evaluation as Evaluation
from surfhead.runs.measure import evaluate_run as evaluate
from surfhead.runs.run import Run as Run
from surfhead.runs.run import load_avatar as load_avatar
from surfhead.runs.run import open_run as open_run
from surfhead.runs.train import train as train

__version__: str
__all__ = [
    "Avatar",
    "Cameras",
    "Evaluation",
    "Rendering",
    "Run",
    "SurfheadError",
    "WorldSurfels",
    "__version__",
    "evaluate",
    "load_avatar",
    "open_run",
    "orbit",
    "rasterize",
    "spiral",
    "train",
]
