"""The locked packages of `node/`: exact versions and hashes, and no word of where they were fetched."""

import json

from tests.wire.node_clients import SCRIPTS


def test_the_lock_file_has_a_hash_for_each_package_and_no_address() -> None:
    lock = json.loads((SCRIPTS / "package-lock.json").read_text())
    packages = {path: package for path, package in lock["packages"].items() if path}
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


def test_every_client_is_pinned_to_one_version() -> None:
    wanted = json.loads((SCRIPTS / "package.json").read_text())["dependencies"]
    assert all(version.removeprefix("npm:multer-s3@")[0].isdigit() for version in wanted.values())
