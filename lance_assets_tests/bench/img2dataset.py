"""img2dataset 1.47.0, the downloader to beat, in an environment of its own: its dependencies are not ours."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.errors import BadInput
from lance_assets_tests.bench.ingest_clients import Client
from lance_assets_tests.bench.ingest_server import CHECKOUT
from lance_assets_tests.bench.sizes import Say

ENVIRONMENT = CHECKOUT / ".bench" / "img2dataset"
REQUIREMENTS = Path(__file__).with_suffix(".txt")
#: A copy of the requirements, made last: what was installed, and that all of it was.
READY = "ready.txt"
INSTALL_SECONDS = 900
#: Its image library asks the package index for news at each start.
QUIET = {"NO_ALBUMENTATIONS_UPDATE": "1"}
#: What it is told beside the URLs, each for its best. With resize_mode=no and skip_reencode a JPEG is decoded whole by
#: OpenCV, for validation, and stored as it came (disable_all_reencoding would not look at it at all). The opt-out
#: header is obeyed and there are no second tries, as by default; reading all of the EXIF is switched off as
#: more than we do. Parquet took less CPU time than its webdatasets and files, which need the same Parquet beside them.
OPTIONS = {
    "input_format": "parquet",
    "caption_col": "caption",
    "output_format": "parquet",
    "resize_mode": "no",
    "skip_reencode": True,
    "extract_exif": False,
    "compute_hash": "sha256",
    "processes_count": 1,
    "retries": 0,
    "enable_wandb": False,
}


class Img2dataset(Client):
    """The other side."""

    name = "img2dataset"
    environment = QUIET

    def prepare(self, say: Say) -> None:
        """Installs it where it is missing. Raises BadInput where that fails."""
        ready = ENVIRONMENT / READY
        if ready.exists() and ready.read_text() == REQUIREMENTS.read_text():
            return
        say(f"installing img2dataset into {ENVIRONMENT}, some 800 MB, once")
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        pip = (str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS))
        _install((sys.executable, "-m", "venv", str(ENVIRONMENT)))
        _install(pip)
        shutil.copyfile(REQUIREMENTS, ready)

    def command(self, folder: Path, urls: Sequence[str], captions: Sequence[str], threads: int) -> list[str]:
        source = folder / "captions.parquet"
        pq.write_table(pa.table({"url": urls, "caption": captions}), source)
        options = {
            **OPTIONS,
            "url_list": source,
            "output_folder": folder / "out",
            "thread_count": threads,
            "number_sample_per_shard": max(2, len(urls)),
        }
        return [str(ENVIRONMENT / "bin" / "img2dataset"), *(f"--{name}={value}" for name, value in options.items())]

    def stored(self, folder: Path) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for file in (folder / "out").glob("*.parquet"):
            for row in pq.read_table(file, columns=["url", "jpg"]).to_pylist():
                if row["jpg"] is not None:
                    found.append((row["url"], hashlib.sha256(row["jpg"]).hexdigest()))
        return found


def _install(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"img2dataset was not installed within {INSTALL_SECONDS} s") from error
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise BadInput(f"img2dataset cannot be installed into {ENVIRONMENT}: {said[-1] if said else error}") from error
