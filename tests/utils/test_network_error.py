"""Errors of a network that is not there are told from all others, whichever library raises them."""

import pytest

from volbench._utils.network_error import is_network_error


def made(module, name):
    """An error of a library that need not be installed."""
    return type(name, (Exception,), {"__module__": module})("said")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("httpx", "ConnectError"),
        ("httpx2", "ReadTimeout"),
        ("urllib3.exceptions", "NameResolutionError"),
        ("requests.exceptions", "ConnectTimeout"),
        ("huggingface_hub.errors", "OfflineModeIsEnabled"),
    ],
)
def test_what_says_that_nothing_answers_is_one(module, name):
    assert is_network_error(made(module, name))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("requests.exceptions", "InvalidURL"),
        ("huggingface_hub.errors", "RepositoryNotFoundError"),
        ("optimizer", "ConnectError"),
    ],
)
def test_what_a_client_says_of_anything_else_is_none(module, name):
    assert not is_network_error(made(module, name))


def refuse(*, of):
    """Raise an error while one of the network is handled, or from one."""
    try:
        raise made("httpx", "ConnectError")
    except Exception as error:
        raise OSError("no weights") from (error if of else None)


@pytest.mark.parametrize("cause", [False, True])
def test_an_error_raised_while_one_of_the_network_is_handled_counts(cause):
    with pytest.raises(OSError, match="no weights") as caught:
        refuse(of=cause)
    assert is_network_error(caught.value)
