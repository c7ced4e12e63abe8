"""Runs the client scripts of `node/` against a gateway and keeps what they found, case by case.

A script prints one JSON object, {case: {"facts": …} or {"error": …}}; a run is made once for a gateway, a script and an
addressing style, and each test asks it for the facts of its case.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.support.gateway import Gateway
from tests.support.media_house import PRIVATE, PUBLIC, ROLE, MediaHouse

SCRIPTS = Path(__file__).parent / "node"
RUN_TIMEOUT_S = 180
MIB = 1024 * 1024
PART_SIZE = 5 * MIB


@dataclass(frozen=True, slots=True)
class Run:
    """What one script found at one gateway."""

    gateway: Gateway
    bucket: str
    virtual: bool
    cases: Mapping[str, Mapping[str, Any]]

    def facts(self, case: str) -> Any:
        """What the case told; a case that failed fails the test with the client's own words."""
        result = self.cases[case]
        assert "error" not in result, f"{case}: {json.dumps(result['error'], indent=2)}"
        return result["facts"]

    def reaches(self, location: str, key: str) -> bool:
        """Whether `location` is an address of `key` under which this gateway answers."""
        url = urlsplit(location)
        if url.scheme != urlsplit(self.gateway.endpoint).scheme or url.port != self.gateway.port:
            return False
        if url.hostname == f"{self.bucket}.s3.localhost":
            return unquote(url.path) == f"/{key}"
        return url.hostname in {self.gateway.host, "s3.localhost"} and unquote(url.path) == f"/{self.bucket}/{key}"


def run_node(
    script: str, gateway: Gateway, *, virtual: bool = False, environment: Mapping[str, str] | None = None
) -> Run:
    """Run `node/SCRIPT` with a bucket name of its own, or as `environment` tells it; virtual: bucket.s3.localhost."""
    if not (SCRIPTS / "node_modules").is_dir():
        raise FileNotFoundError("tests/wire/node has no node_modules: `make test` installs them, or `npm ci` there")
    told = environment or gateway_environment(gateway, f"node-{secrets.token_hex(8)}")
    environment = {
        **told,
        "STYLE": "virtual" if virtual else "path",
        "NODE_NO_WARNINGS": "1",
        "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE": "1",
    }
    if gateway.ca_file is not None:
        environment["NODE_EXTRA_CA_CERTS"] = str(gateway.ca_file)
    output = run_client([node_program(), script], cwd=SCRIPTS, environment=environment)
    return Run(gateway, told["BUCKET"], virtual, json.loads(output))


def node_program() -> str:
    """The node beside this Python, which the test requirements bring, or else the machine's."""
    beside = shutil.which("node", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("node")
    if found is None:
        raise FileNotFoundError("no node on the PATH: `make test` installs one")
    return found


def gateway_environment(gateway: Gateway, bucket: str) -> dict[str, str]:
    """What every client script is told, and nothing of this machine's AWS settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return inherited | {
        "ENDPOINT": gateway.endpoint,
        "ACCESS_KEY_ID": gateway.access_key_id,
        "SECRET_ACCESS_KEY": gateway.secret_access_key,
        "BUCKET": bucket,
    }


def end_user_environment(house: MediaHouse, end_user: str, foreign_key: str) -> dict[str, str]:
    """What a script is told that acts as app's service, for `end_user`; somebody else owns `foreign_key`."""
    key = house.keys["backend"]
    return gateway_environment(house.gateway, PRIVATE) | {
        "ACCESS_KEY_ID": key.access_key_id,
        "SECRET_ACCESS_KEY": key.secret_access_key,
        "PUBLIC_BUCKET": PUBLIC,
        "ROLE_ARN": ROLE,
        "END_USER": end_user,
        "FOREIGN_KEY": foreign_key,
    }


def run_client(command: list[str], *, cwd: Path, environment: Mapping[str, str]) -> str:
    """The standard output of a client program, which must end well."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def body(size: int) -> bytes:
    """The bytes that the scripts call `body(size)`: an AES-CTR key stream, so that no two stretches are alike."""
    return Cipher(algorithms.AES(bytes(16)), modes.CTR(bytes(16))).encryptor().update(bytes(size))


def digest(size: int) -> dict[str, Any]:
    """Size and SHA-256 of `body(size)`, as the scripts' `digest` tells them."""
    return {"size": size, "sha256": hashlib.sha256(body(size)).hexdigest()}


def digest_of(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def has_body(facts: Mapping[str, Any], size: int) -> bool:
    """Whether the facts are of an object, or an answer, whose bytes are `body(size)`."""
    return {"size": facts["size"], "sha256": facts["sha256"]} == digest(size)


def etag(data: bytes) -> str:
    """The ETag of an object put in one piece, with its quotes."""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def etag_in_parts(size: int, part_size: int = PART_SIZE) -> str:
    """The ETag of `body(size)` uploaded in parts: MD5 of the parts' MD5s, a dash, their number."""
    whole = body(size)
    parts = [whole[start : start + part_size] for start in range(0, size, part_size)]
    of_parts = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f'"{hashlib.md5(of_parts, usedforsecurity=False).hexdigest()}-{len(parts)}"'


def xml_value(answer: Mapping[str, Any], element: str) -> str:
    """The text of one element of an XML answer."""
    found = re.search(f"<{element}>([^<]*)</{element}>", answer["text"])
    assert found is not None, answer["text"]
    return found[1].replace("&quot;", '"').replace("&#34;", '"').replace("&amp;", "&")


def refused(answer: Mapping[str, Any], status: int, code: str) -> bool:
    """Whether an answer to a plain request is this S3 error."""
    return answer["status"] == status and xml_value(answer, "Code") == code


def failed(facts: Mapping[str, Any], status: int, name: str) -> bool:
    """Whether an SDK call failed with this S3 error."""
    return facts.get("status") == status and facts["name"] == name
