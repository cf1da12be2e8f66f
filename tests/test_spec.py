"""Spec text: what is read, what is refused and in which words; canonical text is stable."""

import keyword
import sys
import unicodedata
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volbench.errors import SpecError
from volbench.spec import Spec, Sum, Term, parse, parse_sum, parse_value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bilinear", Spec("bilinear")),
        ("bilinear()", Spec("bilinear")),
        ("  bilinear  ", Spec("bilinear")),
        ("(bilinear)", Spec("bilinear")),
        ("focal(gamma=2)", Spec("focal", (("gamma", 2),))),
        ("f(b=1, a=2,)", Spec("f", (("a", 2), ("b", 1)))),
        ("f(x=-.5)", Spec("f", (("x", -0.5),))),
        ("f(x=1e-3)", Spec("f", (("x", 0.001),))),
        ("f(x='a b')", Spec("f", (("x", "a b"),))),
        ("f(x=True, y=False, z=None)", Spec("f", (("x", True), ("y", False), ("z", None)))),
        ("f(x=(1, 2))", Spec("f", (("x", (1, 2)),))),
        ("f(x=[1, 'a'])", Spec("f", (("x", (1, "a")),))),
        ("f(x=())", Spec("f", (("x", ()),))),
        ("f(x=(1,))", Spec("f", (("x", (1,)),))),
        ("f(x=g(y=1))", Spec("f", (("x", Spec("g", (("y", 1),))),))),
        ("f(x=g())", Spec("f", (("x", Spec("g")),))),
        ("torchio.RandomNoise", Spec("torchio.RandomNoise")),
        ("a.b.c(x=d.e(y=1))", Spec("a.b.c", (("x", Spec("d.e", (("y", 1),))),))),
    ],
)
def test_a_spec_reads_as_written(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("focal( gamma = 2.0 )", "focal(gamma=2)"),
        ("focal(gamma=2.50)", "focal(gamma=2.5)"),
        ("f(b=1,a=1)", "f(a=1, b=1)"),
        ("f(x=-0.0)", "f(x=0)"),
        ("f(x=1_000)", "f(x=1000)"),
        ("f(x=[1])", "f(x=(1,))"),
        ('f(x="it\'s")', 'f(x="it\'s")'),
        ("f(x=g)", None),
        ("f()", "f"),
        ("f(x=g())", "f(x=g())"),
    ],
)
def test_canonical_text_sorts_arguments_and_normalises_numbers(text, canonical):
    if canonical is None:  # a bare word is no value: it would read as a string or as a call
        with pytest.raises(SpecError):
            parse(text)
    else:
        assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("focal", "focal"),
        ("1*focal", "focal"),
        ("1.0 * focal + triplet", "focal+triplet"),
        ("focal + .5*triplet(margin=.20)", "focal+0.5*triplet(margin=0.2)"),
        ("(a + b) + c", "a+b+c"),
        ("a + (b + c)", "a+b+c"),
        ("2.0*a", "2*a"),
        ("b + a", "b+a"),
    ],
)
def test_a_sum_keeps_the_order_written(text, canonical):
    assert str(parse_sum(text)) == canonical


def test_a_value_is_not_confused_with_its_look_alike():
    assert parse_value("1") is not True
    assert str(parse("f(x=True)")) != str(parse("f(x=1)")) != str(parse("f(x='1')"))


def test_kwargs_are_the_arguments_by_name():
    assert parse("f(b=1, a='x')").kwargs == {"a": "x", "b": 1}


def refusal(text):
    """Why ``text`` is refused as a sum; None where it is read."""
    try:
        parse_sum(text)
    except SpecError as error:
        return str(error)
    return None


NAME_OR_CALL = "expected name or name(key=value, ...)"
VALUE = "expected a number, a quoted string, a tuple or name(...)"

MALFORMED = {
    "focal+triplet": (1, NAME_OR_CALL),
    "2*focal": (1, NAME_OR_CALL),
    "'focal'": (1, NAME_OR_CALL),
    "1": (1, NAME_OR_CALL),
    "None": (1, NAME_OR_CALL),
    "f().g": (1, NAME_OR_CALL),
    "(1).real": (1, NAME_OR_CALL),
    "a.b(1)": (5, "arguments must be named, as in name(key=value)"),
    "f(a=1)(b=2)": (1, NAME_OR_CALL),
    "lambda: f": (1, NAME_OR_CALL),
    "f if g else h": (1, NAME_OR_CALL),
    "f[0]": (1, NAME_OR_CALL),
    "f(1)": (3, "arguments must be named, as in name(key=value)"),
    "f(a=1, *b)": (8, "arguments must be named, as in name(key=value)"),
    "f(2, a=1)": (3, "arguments must be named, as in name(key=value)"),
    "f(**g)": (1, "** is not allowed"),
    "f(a=1, a=2)": (10, "'a' is given twice"),
    "f(a=g(b=1, b=1))": (14, "'b' is given twice"),
    "f(a=b)": (5, VALUE),
    "f(a=b.c)": (5, VALUE),
    "f(a=1+1)": (5, VALUE),
    "f(a=+1)": (5, VALUE),
    "f(a=-True)": (5, VALUE),
    "f(a=--1)": (5, VALUE),
    "f(a=1j)": (5, VALUE),
    "f(a=b'x')": (5, VALUE),
    "f(a=f'x')": (5, VALUE),
    "f(a=...)": (5, VALUE),
    "f(a={1: 2})": (5, VALUE),
    "f(a={1})": (5, VALUE),
    "f(a=[x for x in y])": (5, VALUE),
    "f(a=(1, b))": (9, VALUE),
    "f(a=not 1)": (5, VALUE),
    "f(a=1e999)": (5, "a number must be finite"),
    "f(a=-1e999)": (5, "a number must be finite"),
    f"f(a={'9' * 60 + 'e300'})": (5, "a number must be finite"),
    "f(a=g(1))": (7, "arguments must be named, as in name(key=value)"),
}


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_spec_is_refused_with_its_column_and_reason(text):
    column, reason = MALFORMED[text]
    shown = text if len(text) <= 80 else text[:77] + "..."
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert str(caught.value) == f"cannot read spec {shown!r} at column {column}: {reason}"


MALFORMED_SUMS = {
    "0*focal": (1, "a weight must be a positive finite number"),
    "1e999*focal": (1, "a weight must be a positive finite number"),
    "a+0.0*b": (3, "a weight must be a positive finite number"),
    "-1*focal": (1, NAME_OR_CALL),
    "True*focal": (1, NAME_OR_CALL),
    "focal*2": (1, NAME_OR_CALL),
    "focal-triplet": (1, NAME_OR_CALL),
    "focal/2": (1, NAME_OR_CALL),
    "2*3*focal": (1, NAME_OR_CALL),
    "2*(a+b)": (4, NAME_OR_CALL),
    "a+1": (3, NAME_OR_CALL),
    "a+b(1)": (5, "arguments must be named, as in name(key=value)"),
}


@pytest.mark.parametrize("text", MALFORMED_SUMS)
def test_a_malformed_sum_is_refused_with_its_column_and_reason(text):
    column, reason = MALFORMED_SUMS[text]
    with pytest.raises(SpecError) as caught:
        parse_sum(text)
    assert str(caught.value) == f"cannot read spec {text!r} at column {column}: {reason}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "focal(",
        "focal)",
        "focal triplet",
        "focal(gamma=)",
        "focal(gamma=2",
        "focal(gamma=2))",
        "class",
        "f(class=1)",
        "f(a='x)",
        "a=1",
        "import os",
        "f(\x00)",
        "f(a=1; b=2)",
        "resnet-18(",
    ],
)
def test_what_is_no_expression_is_refused_by_name_on_one_line(text):
    """Python's own words vary with its version, so only the frame around them is fixed."""
    with pytest.raises(SpecError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith(f"cannot read spec {' '.join(text.split())!r} at column ")
    assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    [
        "f(a=" + "(" * 5000 + ")" * 5000 + ")",
        "f(a=" + "g(a=" * 5000 + "1" + ")" * 5001,
        "+".join(["a"] * 900),
        "+".join(["a"] * 3000),
        "+".join(["a"] * 20000),
        "f(a=" + "-" * 20000 + "1)",
        "f(a=" + "9" * 5000 + ")",
        "f(a=" + "9" * 400 + ")",
        "9" * 400 + "*f",
    ],
    ids=["parentheses", "calls", "900", "3000", "20000", "signs", "digits", "overflow", "weight"],
)
def test_absurd_input_is_refused_or_read_but_never_a_crash(text):
    message = refusal(text)
    assert message is None or (len(message) < 400 and "\n" not in message)
    if message is None:
        assert str(parse_sum(text)) == text


def test_more_terms_than_the_stack_holds_are_refused():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        message = refusal("+".join(["a"] * 2000))
    finally:
        sys.setrecursionlimit(before)
    assert message.endswith("at column 1: too many terms")


def test_reading_never_evaluates():
    with pytest.raises(SpecError, match=r"arguments must be named"):
        parse("__import__('os')")


def test_reading_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse(r"manifest(path='C:\\data')").kwargs == {"path": "C:\\data"}


def is_name(text):
    return text.isidentifier() and not keyword.iskeyword(text)


names = (
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,7}", fullmatch=True)
    | st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=1, max_size=3).map(
        lambda text: unicodedata.normalize("NFKC", text)  # as Python reads identifiers
    )
).filter(is_name)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(
    allow_nan=False, allow_infinity=False
).map(lambda x: int(x) if x.is_integer() and abs(x) < 2**53 else x)


def specs_with(values):
    arguments = st.dictionaries(names, values, max_size=3)
    return st.builds(lambda name, a: Spec(name, tuple(sorted(a.items()))), names, arguments)


plain = st.none() | st.booleans() | numbers | st.text(max_size=10)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3).map(tuple) | specs_with(inner), max_leaves=8
)
specs = specs_with(values)
weights = st.floats(min_value=1e-300, max_value=1e300) | st.integers(1, 1000)


@given(specs)
def test_any_spec_survives_its_own_text(spec):
    assert parse(str(spec)) == spec
    assert str(parse(str(spec))) == str(spec)


@given(st.lists(st.tuples(weights, specs), min_size=1, max_size=4))
def test_any_sum_survives_its_own_text(terms):
    total = Sum(tuple(Term(weight, spec) for weight, spec in terms))
    once = str(parse_sum(str(total)))
    assert str(parse_sum(once)) == once
    assert parse_sum(once) == total


@given(st.dictionaries(names, plain, min_size=2, max_size=5), st.randoms())
def test_the_order_of_arguments_does_not_change_the_text(arguments, random):
    written = [f"{key}={value!r}" for key, value in arguments.items()]
    shuffled = random.sample(written, len(written))
    assert str(parse(f"f({', '.join(written)})")) == str(parse(f"f( {' ,'.join(shuffled)} )"))


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_with_one_line(text):
    message = refusal(text)
    assert message is None or len(message.splitlines()) == 1
