"""Registries: who provides a name, and what happens when a plugin is broken in any of its ways."""

import importlib
import sys
import textwrap
from collections.abc import Mapping
from typing import Literal

import pytest

from volbench.errors import PluginError, SpecError, UnknownComponentError
from volbench.plugins import catalog
from volbench.plugins import discovery as distributions
from volbench.plugins.other_names import OTHER_NAMES
from volbench.plugins.registry import REGISTRIES, Registry
from volbench.spec import parse

GROUP = "volbench.aggregators"


class Base:
    pass


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put distributions on the path as an installer would: a dist-info folder and a module each."""
    monkeypatch.syspath_prepend(tmp_path)
    modules = set(sys.modules)

    def install(name, version="1.0", *, components=None, module=None, source="", metadata=None):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
        (info / "METADATA").write_bytes(metadata)
        entries = "".join(f"{key} = {value}\n" for key, value in (components or {}).items())
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entries}")
        if module:
            path = tmp_path / f"{module.replace('.', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
        importlib.invalidate_caches()
        distributions.installed.cache_clear()
        return info

    yield install
    distributions.installed.cache_clear()
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def fresh():
    """A registry that has not looked yet; the shared ones have, and must not see our inventions."""
    return Registry("aggregator", GROUP)


MEND = "update or uninstall it"

GOOD = """
class Good:
    '''Does its work.

    More words.
    '''

    def __init__(self, num_features, *, scale=1.0, name="x"):
        self.arguments = (num_features, scale, name)
"""


def test_a_plugin_is_found_beside_the_built_ins_and_built_with_its_arguments(install):
    install(
        "lab-pools", "2.1", components={"good": "lab_pools:Good"}, module="lab_pools", source=GOOD
    )
    found = fresh()
    assert {"good", "average", "bilinear"} <= set(found)
    assert str(found.origins["good"][0]) == "lab-pools 2.1"
    built = found.build("good(scale=2, name='y')", object, 256)
    assert built.arguments == (256, 2, "y")


def test_listing_names_imports_nothing(install):
    install("lab-pools", components={"good": "lab_pools:Good"}, module="lab_pools", source=GOOD)
    found = fresh()
    assert "good" in found
    assert len(found) == len(list(found))
    assert "lab_pools" not in sys.modules
    found["good"]
    assert "lab_pools" in sys.modules


def test_a_name_of_two_distributions_is_an_error_that_names_both_when_it_is_used(install):
    install("one", "1.0", components={"same": "one_pool:Good"}, module="one_pool", source=GOOD)
    install("two", "2.0", components={"same": "two_pool:Good", "other": "two_pool:Good"})
    found = fresh()
    assert "same" in found
    with pytest.raises(PluginError) as caught:
        found["same"]
    assert sorted(str(caught.value).split(": ")[1].split("; ")[0].split(" and ")) == [
        "one 1.0",
        "two 2.0",
    ]
    assert str(caught.value).startswith("two distributions provide the aggregator 'same': ")
    assert str(caught.value).endswith("; uninstall one")


def test_a_distribution_that_is_on_the_path_twice_provides_its_names_once(install, tmp_path):
    install("one", components={"same": "one_pool:Good"}, module="one_pool", source=GOOD)
    sys.path.append(str(tmp_path))  # the fixture's patch of sys.path is undone as a whole
    distributions.installed.cache_clear()
    assert len(fresh().origins["same"]) == 1


@pytest.mark.parametrize(
    ("source", "reason", "way_out"),
    [
        (
            "import a_module_nobody_has",
            "ModuleNotFoundError: No module named 'a_module_nobody_has'",
            "install what provides 'a_module_nobody_has', or uninstall it",
        ),
        ("import sys; sys.exit('no licence')", "SystemExit: no licence", MEND),
        ("raise KeyboardInterrupt", "KeyboardInterrupt:", MEND),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines", MEND),
        ("x = 1", "AttributeError: module 'broken_pool' has no attribute 'Pool'", MEND),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_one_line_when_used(install, source, reason, way_out):
    install(
        "broken",
        "0.3",
        components={"pool": "broken_pool:Pool"},
        module="broken_pool",
        source=source,
    )
    found = fresh()
    assert "pool" in found
    assert "average" in found
    with pytest.raises(PluginError) as caught:
        found["pool"]
    assert str(caught.value) == (
        f"the aggregator 'pool' of broken 0.3 cannot be imported ({reason}); {way_out}"
    )


def test_a_plugin_that_is_not_callable_is_refused(install):
    install("odd", components={"pool": "odd_pool:Pool"}, module="odd_pool", source="Pool = 3")
    with pytest.raises(PluginError) as caught:
        fresh()["pool"]
    assert str(caught.value) == "the aggregator 'pool' of odd 1.0 is not callable"


UNREADABLE = {
    "not text": b"Name: \xff\xfe\x00",
    "no name": b"Metadata-Version: 2.1\n",
}


@pytest.mark.parametrize("metadata", UNREADABLE.values(), ids=UNREADABLE)
def test_one_distribution_with_unreadable_metadata_hides_no_other(install, metadata):
    broken = install("torn", components={"torn": "torn_pool:Pool"}, metadata=metadata)
    install("whole", components={"good": "whole_pool:Good"}, module="whole_pool", source=GOOD)
    found = distributions.scan_distributions()
    names = {o.entry.name for o in found.origins if o.entry.group == GROUP}
    assert {"good", "average"} <= names
    assert "torn" not in names
    (warning,) = [str(one) for one in found.unreadable if str(broken) in one.where]
    assert warning.startswith(f"skipped {broken}: its metadata cannot be read (")
    assert "\n" not in warning


def test_an_unknown_name_suggests_the_nearest_and_lists_what_there_is():
    with pytest.raises(UnknownComponentError) as caught:
        REGISTRIES["encoders"]["rmc6"]
    message = str(caught.value)
    assert message.startswith("Unknown encoder 'rmc6'. Did you mean 'rmc5'? Installed: ")
    assert "r2plus1d" in message
    assert caught.value.exit_code == 4


def test_an_unknown_name_far_from_all_others_suggests_nothing():
    empty = Registry("loss", "volbench.nothing")
    with pytest.raises(UnknownComponentError) as caught:
        empty["xyz"]
    assert str(caught.value) == "Unknown loss 'xyz'. Installed: none."


def test_a_component_of_the_wrong_type_is_the_plugins_fault(install):
    install("wrong", components={"pool": "wrong_pool:Good"}, module="wrong_pool", source=GOOD)
    with pytest.raises(PluginError) as caught:
        fresh().build("pool", Base, 4)
    assert str(caught.value) == (
        "aggregator pool is a Good, not a Base; tell the authors of wrong 1.0"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "odd(gama=1)",
            "aggregator odd(gama=1): got an unexpected keyword argument 'gama' "
            "(did you mean 'gamma'?); "
            "its signature is odd(gamma=2.0)",
        ),
        ("odd(gamma=-1)", "aggregator odd(gamma=-1): gamma must not be negative"),
    ],
)
def test_arguments_that_do_not_fit_are_the_users_fault(text, message):
    def odd(num_features, *, gamma=2.0):
        if gamma < 0:
            raise ValueError("gamma must not be negative")
        return Base()

    with fresh().adding(odd=odd):
        pass  # the names are gone again
    pools = fresh()
    with pools.adding(odd=odd), pytest.raises(SpecError) as caught:
        pools.build(text, Base, 4)
    assert str(caught.value) == message


def test_a_factory_that_breaks_in_its_own_way_is_one_line_that_names_it(install):
    source = "def pool(num_features):\n    return {}['missing']\n"
    install(
        "brittle",
        "0.1",
        components={"pool": "brittle_pool:pool"},
        module="brittle_pool",
        source=source,
    )
    with pytest.raises(PluginError) as caught:
        fresh().build("pool", Base, 4)
    assert str(caught.value) == (
        "aggregator pool of brittle 0.1 cannot be built (KeyError: 'missing'); "
        "update or uninstall it"
    )


@pytest.mark.parametrize(
    "raised",
    [
        "import socket; raise socket.gaierror(-2, 'Name or service not known')",
        "import urllib.error; raise urllib.error.URLError('unreachable')",
        "from huggingface_hub.errors import LocalEntryNotFoundError as E; raise E('not kept')",
        """
    try:
        raise ConnectionRefusedError(111, 'Connection refused')
    except OSError as error:
        raise RuntimeError('no weights') from error""",
    ],
)
def test_a_factory_that_misses_the_network_is_not_to_be_uninstalled(install, raised):
    number = abs(hash(raised))
    install(
        "online",
        "0.1",
        components={"pool": f"online_{number}:pool"},
        module=f"online_{number}",
        source=f"def pool(num_features):\n    {raised.strip()}\n",
    )
    with pytest.raises(PluginError) as caught:
        fresh().build("pool", Base, 4)
    assert str(caught.value).endswith(
        "connect to the network once, so that what it needs is kept, or leave it out"
    )


def test_an_error_of_our_own_inside_a_factory_keeps_its_kind_and_words():
    def nested(num_features, *, of):
        return pools.build(of, Base, num_features)

    pools = fresh()
    with pools.adding(nested=nested), pytest.raises(UnknownComponentError, match="'avrage'"):
        pools.build("nested(of=avrage())", Base, 4)


def test_added_components_are_there_inside_the_block_only():
    pools = fresh()
    with pools.adding(mine=Base):
        assert "mine" in pools
        assert "mine" in list(pools)
        assert isinstance(pools.build("mine", Base), Base)
        with pools.adding(mine=dict, yours=Base):
            assert pools["mine"] is dict
        assert pools["mine"] is Base
        assert "yours" not in pools
    assert "mine" not in pools


def test_an_added_component_hides_an_installed_one_while_it_is_there():
    pools = fresh()
    with pools.adding(average=Base):
        assert pools["average"] is Base
        assert len(pools) == len(list(pools)) == len(fresh())


def test_a_spec_builds_like_its_text():
    pools = fresh()
    with pools.adding(mine=lambda n, *, a: type("Mine", (Base,), {"seen": (n, a)})()):
        assert pools.build("mine(a=3)", Base, 2).seen == (2, 3)
        assert pools.build(parse("mine(a=3)"), Base, 2).seen == (2, 3)


@pytest.fixture
def shared(monkeypatch):
    """The catalog over fresh registries, so that it sees what this test installs."""
    monkeypatch.setattr(catalog, "REGISTRIES", {"aggregators": fresh()})


def test_the_catalog_reads_docstrings_without_running_the_plugin(install, shared):
    install(
        "loud",
        "0.2",
        components={"loud": "loudpkg.pool:Good"},
        module="loudpkg.pool",
        source="raise SystemExit('imported')\n" + textwrap.dedent(GOOD),
    )
    (item,) = [i for i in catalog.components("aggregators") if i.name == "loud"]
    assert item == catalog.Item("loud", "loud", "0.2", "Does its work.")
    assert not any("loud" in line for line in catalog.warnings())
    (plugin,) = [p for p in catalog.plugins() if p.distribution == "loud"]
    assert plugin == catalog.Plugin("loud", "0.2", {"aggregators": ("loud",)})


def test_the_catalog_follows_a_re_export(install, shared, tmp_path):
    install("hop", components={"hop": "hoppkg:Pool"}, module="hoppkg.inner", source=GOOD)
    (tmp_path / "hoppkg" / "__init__.py").write_text("from .inner import Good as Pool\n")
    (item,) = [i for i in catalog.components("aggregators") if i.name == "hop"]
    assert item.summary == "Does its work."


@pytest.mark.parametrize(
    "source",
    [
        "Pool = type('Pool', (), {})",
        "class Pool:\n    pass",
        "from os import path as Pool",
        "import os as Pool",
    ],
)
def test_the_catalog_says_nothing_where_the_source_says_nothing(install, shared, source):
    install("mute", components={"mute": "mute_pool:Pool"}, module="mute_pool", source=source)
    (item,) = [i for i in catalog.components("aggregators") if i.name == "mute"]
    assert item.summary == ""
    assert not any("mute" in line for line in catalog.warnings())


@pytest.mark.parametrize(
    ("entry", "source", "reason"),
    [
        ("gone_pool:Pool", "", "has no module 'gone_pool'"),
        ("bad_pool.deep:Pool", "", "has no module 'bad_pool.deep'"),
        ("bad_pool:Pool", "class Pool(:", "has an unreadable module 'bad_pool' (SyntaxError)"),
        ("bad pool", "", "is declared as 'bad pool', not as module:name"),
    ],
)
def test_a_plugin_that_is_broken_to_the_eye_is_one_warning_line(
    install, shared, entry, source, reason
):
    components = {"first": entry, "second": entry}
    install("bad", "0.4", components=components, module="bad_pool", source=source)
    (warning,) = [line for line in catalog.warnings() if "bad 0.4" in line]
    assert warning == (
        f"bad 0.4 is broken: aggregator 'first' {reason} (and 1 more); update or uninstall it"
    )
    assert {"first", "average"} <= {item.name for item in catalog.components("aggregators")}


def test_the_catalog_warns_of_a_name_provided_twice(install, shared):
    install("one", "1.0", components={"same": "one_pool:Good"}, module="one_pool", source=GOOD)
    install("two", "2.0", components={"same": "one_pool:Good"})
    (warning,) = [line for line in catalog.warnings() if "'same'" in line]
    assert "one 1.0" in warning
    assert "two 2.0" in warning
    assert sum(item.name == "same" for item in catalog.components("aggregators")) == 2


def test_a_name_of_another_kind_is_told_from_a_misspelt_one():
    with pytest.raises(UnknownComponentError) as caught:
        REGISTRIES["encoders"]["bilinear"]
    assert str(caught.value).startswith(
        "Unknown encoder 'bilinear'. 'bilinear' is an aggregator, not an encoder. Installed: "
    )
    with pytest.raises(UnknownComponentError, match=r"Did you mean 'bilinear'\?"):
        REGISTRIES["aggregators"]["BiLinear"]


def test_nobody_can_take_over_a_name_of_volbenchs_own(install):
    install("thief", components={"average": "thief_pool:Good"}, module="thief_pool", source=GOOD)
    assert fresh()["average"].__module__ == "volbench.aggregators.average"


def test_the_first_of_two_distributions_with_one_name_counts_as_it_does_for_imports(install):
    install(
        "Lab.Pools", "2.0", components={"good": "lab_pools:Good"}, module="lab_pools", source=GOOD
    )
    install("lab-pools", "1.0", components={"good": "lab_pools:Other"})
    assert len(fresh().origins["good"]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("typed(number='x')", "number must be a number, but got number='x'"),
        ("typed(number=True)", "number must be a number, but got number=True"),
        ("typed(count=2.5)", "count must be a whole number, but got count=2.5"),
        ("typed(flag=1)", "flag must be True or False, but got flag=1"),
        ("typed(text=3)", "text must be a quoted string or None, but got text=3"),
        ("typed(mode='c')", "mode must be 'a' or 'b', but got mode='c'"),
        (
            "typed(pair=(1, 2, 3))",
            "pair must be (a whole number, a number), but got pair=(1, 2, 3)",
        ),
        ("typed(many=(1, 'x'))", "many must be a tuple of whole numbers, but got many=(1, 'x')"),
        ("typed(number=uniform(low=0))", "number must be a number, but got number=uniform(low=0)"),
        ("later(number='x')", "number must be a number or None, but got number='x'"),
    ],
)
def test_a_value_of_another_type_than_its_option_is_refused(text, message):
    with (pools := fresh()).adding(typed=typed, later=Later), pytest.raises(SpecError) as caught:
        pools.build(text, Base, 4)
    assert str(caught.value) == f"aggregator {parse(text)}: {message}"


@pytest.mark.parametrize(
    "text",
    [
        "typed(count=2, flag=True, number=2, text=None)",
        "typed(mode='b', pair=(1, 2), many=())",
        "typed(unknown=(1, 'x', uniform(low=0)), bare='x')",
        "later(number=2)",
    ],
)
def test_values_that_fit_and_annotations_nobody_knows_pass(text):
    with (pools := fresh()).adding(typed=typed, later=Later):
        assert isinstance(pools.build(text, Base, 4), Base)


def typed(
    features,
    *,
    number: float = 1.0,
    count: int = 1,
    flag: bool = False,
    text: str | None = None,
    mode: Literal["a", "b"] = "a",
    pair: tuple[int, float] = (1, 2.0),
    many: tuple[int, ...] = (),
    unknown: Mapping[str, int] | None = None,
    bare=0,
):
    return Base()


class Later(Base):
    """Its annotations are text, as a module's with postponed annotations are."""

    def __init__(self, features, *, number: "float | None" = None, odd: "Nowhere" = 0):  # noqa: F821
        self.number = number


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"gama": "uniform(low=0, high=1)"}, "names 'gama', which is no option"),
        ({"gamma": "uniform(low=0"}, "search_space of 'gamma': cannot read spec"),
        ({"gamma": "uniform(low=0)"}, "'uniform(low=0)', but must be one of uniform(low=, high=)"),
        ({"gamma": "normal(low=0, high=1)"}, "but must be one of"),
        ({"gamma": 3}, "search_space of 'gamma'"),
        (["gamma"], "must map options to text"),
    ],
)
def test_a_search_space_that_cannot_be_read_is_the_plugins_fault(declared, reason):
    class Odd(Base):
        search_space = declared

        def __init__(self, features, *, gamma=1.0):
            pass

    pools = fresh()
    with pools.adding(odd=Odd), pytest.raises(PluginError) as caught:
        pools.search_space("odd")
    assert reason in str(caught.value)
    assert str(caught.value).endswith("; tell its authors")


def test_a_search_space_maps_options_to_specs():
    found = REGISTRIES["losses"].search_space("focal")
    assert found == {"gamma": parse("uniform(low=0, high=5)")}
    assert REGISTRIES["encoders"].search_space("r2d") == {}


@pytest.mark.parametrize("group", OTHER_NAMES)
def test_a_word_of_other_libraries_leads_to_a_component_and_hides_none(group):
    registry = next(each for each in REGISTRIES.values() if each.group == group)
    said = [word for words in OTHER_NAMES[group].values() for word in words]
    assert set(OTHER_NAMES[group]) <= set(registry)
    assert len(said) == len(set(said))
    assert not set(said) & set(registry)
    for ours, words in OTHER_NAMES[group].items():
        for word in words:
            with pytest.raises(UnknownComponentError, match=f"Did you mean '{ours}'"):
                registry[word]


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("augmentations", "mixup", "Mixup is --set regularization.mixup=0.2."),
        (
            "augmentations",
            "RandomBlur",
            "Random transforms of TorchIO are written torchio.RandomBl",
        ),
        ("losses", "label_smoothing", r"Write cross_entropy\(label_smoothing=0.1\)."),
    ],
)
def test_what_is_no_component_is_told_how_it_is_written(kind, name, said):
    with pytest.raises(UnknownComponentError, match=said):
        REGISTRIES[kind][name]
