"""The names of parts: built in, declared by a package, and not there at all."""

import sys

import pytest
from pydantic import TypeAdapter

from impasto.config import networks
from impasto.config.registry import NETWORKS, OPTIMISERS, REGISTRIES, STATISTICS, choices_of
from impasto.config.settings import Runtime, Settings, make_settings
from impasto.errors import MissingPackageError, SettingsError


def test_every_built_in_part_can_be_loaded():
    for registry in REGISTRIES:
        for name in registry.builtin:
            assert registry.part(name).is_builtin
            assert registry.load(name) is not None
    for name in NETWORKS.builtin:
        assert networks.network_spec(name).name == name


def test_the_options_list_what_the_registries_list():
    schema = Settings.model_json_schema()["properties"]
    for registry in REGISTRIES:
        assert choices_of(Settings.model_fields[registry.option]) == registry.names()
        assert schema[registry.option]["enum"] == [*registry.names()]
        assert Settings.model_fields[registry.option].default in registry.names()


def test_the_type_checker_s_literals_are_the_built_in_names():
    """Read from the source: they exist for type checkers alone."""
    import ast
    from pathlib import Path

    from impasto.config import values

    listed = {
        node.targets[0].id: ast.literal_eval(node.value.slice)
        for node in ast.walk(ast.parse(Path(values.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Subscript)
        and getattr(node.value.value, "id", "") == "Literal"
        and node.targets[0].id.endswith("Name")
    }
    assert {name: set(words) for name, words in listed.items()} == {
        f"{registry.option.capitalize()}Name": {*registry.builtin, *registry.aliases}
        for registry in REGISTRIES
    }


def test_choices_are_listed_for_other_options_too():
    fields = {**Settings.model_fields, **Runtime.model_fields}
    assert choices_of(fields["pooling"]) == ("max", "average")
    assert choices_of(fields["precision"]) == ("auto", "fp32", "bf16", "fp16", "int8")
    for name in ("size", "alpha", "style_scale", "region", "content_layers", "device", "seamless"):
        assert choices_of(fields[name]) is None


def test_the_former_word_is_read_and_the_new_one_written():
    assert make_settings(statistic="moments").statistic == "mean+covariance"
    assert make_settings(statistic="moments") == make_settings(statistic="mean+covariance")
    assert "moments" not in STATISTICS.names()


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.option)
def test_an_unknown_name_is_refused_with_those_that_are_known(registry):
    with pytest.raises(SettingsError) as caught:
        make_settings(**{registry.option: "no\nsuch"})
    message = str(caught.value)
    assert message.startswith(f"{registry.option}: expected ")
    assert all(repr(name) in message for name in registry.names())
    assert "install the package" in message
    assert message.isprintable()


def declare(folder, monkeypatch, group, name, target, *, package="extra-parts", version="1.2"):
    """Install a package that declares one part."""
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(str(folder))


def test_a_package_declares_a_part_that_is_loaded_on_use_only(tmp_path, monkeypatch):
    (tmp_path / "extra_network.py").write_text(
        "from impasto.config.networks import NetworkSpec\n"
        "VGG13 = NetworkSpec('vgg13', (2, 2, 2, 2, 2))\n"
    )
    declare(tmp_path, monkeypatch, "impasto.networks", "vgg13", "extra_network:VGG13")
    assert NETWORKS.names() == ("vgg16", "vgg19", "vgg13")
    part = NETWORKS.part("vgg13")
    assert (part.package, part.version, part.is_builtin) == ("extra-parts", "1.2", False)
    assert "vgg13" in Settings.model_json_schema()["properties"]["network"]["enum"]
    assert "extra_network" not in sys.modules
    settings = make_settings(network="vgg13", style_layers="relu1_1..relu5_2")
    assert "extra_network" in sys.modules
    assert settings.style_layers.keys() >= {"relu3_2", "relu5_2"}
    with pytest.raises(SettingsError, match=r"vgg13 has no layer .relu3_3.: vgg16 has it"):
        make_settings(network="vgg13", style_layers="relu3_3")
    monkeypatch.delitem(sys.modules, "extra_network")


def test_a_package_does_not_replace_a_built_in_part(tmp_path, monkeypatch):
    declare(tmp_path, monkeypatch, "impasto.optimisers", "adam", "nowhere:Adam")
    assert OPTIMISERS.names() == ("lbfgs", "adam")
    assert OPTIMISERS.part("adam").is_builtin


@pytest.mark.parametrize("target", ["no_such_module_at_all:Part", "json:NoSuchAttribute"])
def test_a_declared_part_that_is_not_there_is_told_with_its_package(target, tmp_path, monkeypatch):
    declare(tmp_path, monkeypatch, "impasto.statistics", "absent", target)
    assert make_settings(statistic="absent").statistic == "absent"
    with pytest.raises(MissingPackageError, match=rf"{target} in extra-parts 1\.2, got"):
        STATISTICS.load("absent")


def test_a_name_is_checked_where_only_a_type_is_at_hand():
    adapter = TypeAdapter(Settings)
    assert adapter.validate_json('{"statistic": "moments"}').statistic == "mean+covariance"
