"""platform.yaml: what it may say, and how a mistake in it is told."""

from argparse import Namespace

import pytest

from lance_assets.cli.arguments import changed_config
from lance_assets.cli.ready import claimed
from lance_assets.errors import BadInput
from lance_assets.settings import Home, Platform, load_config, save_config
from lance_assets.store.files import DataRoot


@pytest.fixture
def platform(tmp_path):
    return Platform(Home(tmp_path, tmp_path / "data"))


def flags(**said):
    defaults = dict.fromkeys(("rows", "seed", "batch_size", "recipe", "url_column", "caption_column"))
    return Namespace(**{**defaults, "allow_host": [], **said})


def test_a_fresh_home_is_the_demo(platform):
    config = platform.config()
    assert [source.spec for source in config.sources] == ["demo"]
    assert config.batch_rows(config.sources[0]) == 300


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("batch_size: many", "batch_size"),
        ("sources: [{id: a, spec: 'ftp://x'}]", "sources.0.spec"),
        ("colour: red", "colour"),
        ("- a list", "mapping"),
        ("{", "cannot be read"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_setting(platform, text, names):
    platform.home.platform_yaml.write_text(text)
    with pytest.raises(BadInput, match=names) as caught:
        platform.config()
    assert "platform.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_saved_is_what_is_read(platform):
    config, _ = changed_config(platform, flags(source="files:/data/shots", rows=7, allow_host=["127.0.0.1:9"]))
    save_config(platform.home.platform_yaml, config)
    assert load_config(platform.home.platform_yaml) == config


def test_the_environment_wins_over_the_file(platform, monkeypatch):
    platform.home.platform_yaml.write_text("ray: {address: '10.0.0.1:6379'}")
    monkeypatch.setenv("LANCE_ASSETS_RAY_ADDRESS", "127.0.0.1:6380")
    assert platform.config().ray.address == "127.0.0.1:6380"


def test_more_rows_of_a_known_source_change_its_limit_and_keep_its_id(platform):
    first, entry = changed_config(platform, flags(source="files:/data/shots", rows=10))
    save_config(platform.home.platform_yaml, first)
    second, again = changed_config(platform, flags(source="files:/data/shots", rows=20))
    assert (again.id, again.rows) == (entry.id, 20)
    assert len(second.sources) == 1


def test_a_second_source_with_the_same_name_gets_another_id(platform):
    first, entry = changed_config(platform, flags(source="files:/a/shots"))
    save_config(platform.home.platform_yaml, first)
    _, other = changed_config(platform, flags(source="files:/b/shots"))
    assert (entry.id, other.id) == ("shots", "shots_2")


def test_the_data_alone_may_lie_in_an_object_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANCE_ASSETS_ROOT", "s3://bucket/some/prefix/")
    home = Home.find(tmp_path / "home")
    assert DataRoot(home.data).images == "s3://bucket/some/prefix/images.lance"
    home.create()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["dagster", "home"]


def test_a_home_with_its_data_elsewhere_is_unmade_by_bad_input(tmp_path):
    home = Home(tmp_path / "home", "s3://bucket/prefix")
    with pytest.raises(BadInput), claimed(home):
        raise BadInput("no such file")
    assert not home.root.exists()


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_other_object_stores_are_named_by_their_scheme(monkeypatch, scheme):
    monkeypatch.setenv("LANCE_ASSETS_ROOT", f"{scheme}://bucket/prefix")
    assert Home.find().data == f"{scheme}://bucket/prefix"


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ("s3://key:hidden@bucket/prefix", "credentials come from the environment"),
        ("s3://hidden@bucket", "credentials come from the environment"),
        ("s3://bucket/prefix?secret=hidden", "credentials come from the environment"),
        ("s3:///hidden", "names no bucket"),
        ("ftp://hidden/x", "names a folder, or s3://, gs:// or az://, not ftp://"),
    ],
)
def test_an_unusable_place_of_the_data_is_told_without_its_secrets(monkeypatch, root, says):
    monkeypatch.setenv("LANCE_ASSETS_ROOT", root)
    with pytest.raises(BadInput, match=says) as caught:
        Home.find()
    assert "LANCE_ASSETS_ROOT" in str(caught.value) and "hidden" not in str(caught.value)


def test_a_relative_path_is_kept_as_an_absolute_one(platform, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, entry = changed_config(platform, flags(source="files:shots"))
    assert entry.spec == f"files:{tmp_path}/shots"
