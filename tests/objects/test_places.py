"""A directory that is not the one the store knows is not served from: its bodies would be forgotten."""

import shutil

import pytest

from gateway.objects.places import confirm_origins, remember_origins
from gateway.origin.errors import OriginError
from tests.support.house import House


@pytest.fixture
def root(tmp_path):
    return tmp_path / "objects"


async def started(house: House, root) -> None:
    """What every start does."""
    await confirm_origins(house.database, {"local": root})
    await remember_origins(house.database, {"local": root})


async def test_a_new_origin_is_remembered_and_known_again(house: House, root):
    await started(house, root)
    await house.put("k", b"x")
    await started(house, root)


async def test_an_empty_directory_in_its_place_is_refused_while_objects_lie_there(house: House, root):
    await started(house, root)
    await house.put("k", b"x")
    shutil.rmtree(root)
    with pytest.raises(OriginError, match="is the disk mounted"):
        await confirm_origins(house.database, {"local": root})
    assert not root.exists(), "nothing is made where the disk should be"


async def test_another_directory_in_its_place_is_refused(house: House, root, tmp_path):
    await started(house, root)
    await house.put("k", b"x")
    other = tmp_path / "other"
    with pytest.raises(OriginError, match="local"):
        await confirm_origins(house.database, {"local": other})


async def test_an_origin_that_holds_nothing_may_move(house: House, root, tmp_path):
    await started(house, root)
    await started(house, tmp_path / "other")
    await house.put("k", b"x")
    with pytest.raises(OriginError):
        await confirm_origins(house.database, {"local": root})


async def test_an_origin_that_is_no_directory_only_has_to_be_configured(house: House, root):
    await started(house, root)
    await house.put("k", b"x")
    both = {"local": root, "far": None}
    await confirm_origins(house.database, both)
    await remember_origins(house.database, both)
    await confirm_origins(house.database, {"local": None})


async def test_an_origin_that_the_settings_forgot_is_named(house: House, root):
    await house.put("k", b"x")
    with pytest.raises(OriginError, match=r'1 objects at the origin "local".*disk'):
        await confirm_origins(house.database, {"disk": root})
