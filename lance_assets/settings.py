"""The home and platform.yaml: the one place where configuration is read.

Precedence: flag > environment > platform.yaml > default. Flags are written into platform.yaml by `run` before any work,
so that the code location and the command line see the same platform. Keys and tokens are never part of it.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lance_assets.errors import BadInput
from lance_assets.objects import OBJECT_STORES
from lance_assets.sections import Automation, Checks, Downloads

HOME_VARIABLE = "LANCE_ASSETS_HOME"
ROOT_VARIABLE = "LANCE_ASSETS_ROOT"
RAY_VARIABLE = "LANCE_ASSETS_RAY_ADDRESS"

DEMO_ROWS = 600
DEMO_BATCH = 300
PRODUCTION_BATCH = 10_000


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnNames(Strict):
    url: str | None = None
    caption: str | None = None


class SourceEntry(Strict):
    """One source: `spec` is modelscope:<owner/name>[@revision], files:<path or glob>, or demo."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]{0,40}$")
    spec: str
    columns: ColumnNames = ColumnNames()
    rows: int | None = Field(default=None, ge=1, description="at most so many rows of this source; None = all")
    seed: int = Field(default=0, ge=0, description="demo only")
    facts: dict[str, str] | None = Field(
        default=None,
        description="what captions state, by name: regular expressions with one group; the demo has its own",
    )

    @field_validator("facts")
    @classmethod
    def one_group(cls, facts: dict[str, str] | None) -> dict[str, str] | None:
        for name, expression in (facts or {}).items():
            try:
                groups = re.compile(expression).groups
            except re.error as error:
                raise ValueError(f"{name}: {expression!r} is no regular expression: {error}") from error
            if groups != 1:
                raise ValueError(f"{name}: {expression!r} needs one group, what the caption states, not {groups}")
        return facts

    @field_validator("spec")
    @classmethod
    def known_kind(cls, spec: str) -> str:
        if spec != "demo" and not re.match(r"^(modelscope|files):.+", spec):
            raise ValueError("must be demo, modelscope:<owner/name>[@revision] or files:<file, folder or glob>")
        return spec


class ScorerEntry(Strict):
    """A score column: a built-in scorer by its name, or one of your own as `uses: module:attribute`, the module being
    importable or a file of the home. `version` and `served` replace what the scorer says of itself."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")
    uses: str | None = None
    version: str | None = None
    config: dict[str, Any] = {}
    served: dict[str, Any] | None = None


class SftSettings(Strict):
    """`filter` is Lance SQL over the columns of the table; `split` the share of image digests held out."""

    filter: str | None = "score_caption_quality >= 40"
    split: float = Field(default=0.1, gt=0, lt=1)


class RaySettings(Strict):
    address: str | None = Field(default=None, description="None = a private cluster; host:port = join that one")
    num_cpus: int = Field(default=2, ge=1, description="size of the private cluster; never sent when joining")


class Duplicates(Strict):
    """Near-duplicates: images whose 256-bit perceptual hashes differ in at most `radius` bits. `drop` keeps every
    image but the first of its group out of the training set; `keep` only keeps a group on one side of the split."""

    radius: int = Field(default=8, ge=0, le=15)
    policy: Literal["keep", "drop"] = "keep"


class PlatformConfig(Strict):
    sources: list[SourceEntry] = [SourceEntry(id="demo", spec="demo", rows=DEMO_ROWS)]
    batch_size: int | None = Field(default=None, ge=1, le=25_000, description="None = 10,000; the demo 300")
    allow_hosts: list[str] = Field(default=[], description="host or host:port, exempt from the public-address rule")
    scorers: list[ScorerEntry] | None = Field(default=None, description="None = the default ones")
    sft: SftSettings = SftSettings()
    recipe: str = Field(default="demo", description="a LLaMA-Factory YAML file, or the name of a packaged one")
    ray: RaySettings = RaySettings()
    limits: Downloads = Downloads()
    duplicates: Duplicates = Duplicates()
    automation: Automation = Automation()
    checks: Checks = Checks()
    image_roots: list[str] = Field(default=[], description="folders that local image paths of a source may lie under")

    @field_validator("allow_hosts")
    @classmethod
    def hosts_only(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if not re.match(r"^([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?$", host):
                raise ValueError(f"{host!r} is not host or host:port")
        return hosts

    def batch_rows(self, source: SourceEntry) -> int:
        """Rows per new batch of a source."""
        return self.batch_size or (DEMO_BATCH if source.spec == "demo" else PRODUCTION_BATCH)


@dataclass(frozen=True)
class Home:
    """Every path of one platform; `data` may be the URI of an object store. Nothing is created until somebody
    writes."""

    root: Path
    data: Path | str

    @classmethod
    def find(cls, flag: str | os.PathLike[str] | None = None) -> Home:
        """The home named by the flag, else LANCE_ASSETS_HOME, else ./lance_home. Raises BadInput for an unusable
        LANCE_ASSETS_ROOT."""
        root = Path(flag or os.environ.get(HOME_VARIABLE) or "lance_home").expanduser().absolute()
        data = os.environ.get(ROOT_VARIABLE)
        return cls(root, data_place(data) if data else root / "data")

    platform_yaml = property(lambda self: self.root / "platform.yaml")
    dagster = property(lambda self: self.root / "dagster")
    models = property(lambda self: self.root / "models")
    checkpoints = property(lambda self: self.root / "checkpoints")
    demo = property(lambda self: self.root / "demo")
    cache = property(lambda self: self.root / "cache")

    @property
    def local_data(self) -> list[Path]:
        """The folder of the data; none where they lie in an object store."""
        return [self.data] if isinstance(self.data, Path) else []

    def create(self) -> None:
        """Makes the folders on this machine. Raises BadInput when the home cannot be written."""
        try:
            for folder in (self.root, *self.local_data, self.dagster):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise BadInput(f"the home {self.root} cannot be written: {error.strerror or error}") from error


def data_place(text: str) -> Path | str:
    """A folder, or the URI of an object store. Raises BadInput, which never repeats what may be a password."""
    if "://" not in text:
        return Path(text).expanduser().absolute()
    scheme, _, rest = text.partition("://")
    bucket = rest.partition("/")[0]
    if scheme not in OBJECT_STORES:
        raise BadInput(f"{ROOT_VARIABLE} names a folder, or s3://, gs:// or az://, not {scheme}://")
    if "@" in bucket or "?" in rest or "#" in rest:
        raise BadInput(f"{ROOT_VARIABLE} must be {scheme}://bucket/prefix alone: credentials come from the environment")
    if not bucket:
        raise BadInput(f"{ROOT_VARIABLE} names no bucket: it must be {scheme}://bucket/prefix")
    return text.rstrip("/")


@dataclass(frozen=True)
class Platform:
    """A home and what its platform.yaml says now (read again at each call: people edit it while things run)."""

    home: Home

    def config(self) -> PlatformConfig:
        """Raises BadInput naming the file and the setting."""
        return load_config(self.home.platform_yaml)

    def source_arguments(self, entry: SourceEntry) -> dict[str, Any]:
        """What sources.open.open_source wants to know about an entry."""
        return {
            "id": entry.id,
            "spec": entry.spec,
            "url_column": entry.columns.url,
            "caption_column": entry.columns.caption,
            "rows": entry.rows,
            "seed": entry.seed,
            "demo_dir": self.home.demo,
            "cache_dir": self.home.cache / entry.id,
        }


def load_config(path: Path, environment: bool = True) -> PlatformConfig:
    """platform.yaml over the defaults, the environment over both (unless what is read is to be written again). Raises
    BadInput naming the file and the setting."""
    try:
        said = yaml.safe_load(path.read_text()) if path.exists() else {}
    except (OSError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(said, dict | None):
        raise BadInput(f"{path} must be a mapping of settings, not a {type(said).__name__}")
    said = dict(said or {})
    if environment and (address := os.environ.get(RAY_VARIABLE)):
        said["ray"] = {**(said.get("ray") or {}), "address": address}
    return validated(said, str(path))


def validated(said: dict[str, Any], where: str) -> PlatformConfig:
    """Raises BadInput naming the setting inside `where`."""
    try:
        config = PlatformConfig(**said)
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(map(str, first["loc"]))
        raise BadInput(f"{where}: {setting}: {first['msg'].removeprefix('Value error, ')}") from error
    ids = [source.id for source in config.sources]
    if len(set(ids)) != len(ids):
        raise BadInput(f"{where}: sources: two sources have the same id")
    return config


def save_config(path: Path, config: PlatformConfig) -> None:
    """Writes platform.yaml in one step: a reader sees the old file or the new one."""
    text = yaml.safe_dump(config.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(text)
    draft.replace(path)
