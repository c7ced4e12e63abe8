"""How large a body at a directory origin is, without touching anything: also while a gateway serves from it."""

import os
import stat
from pathlib import Path

from gateway.origin.disk import load_manifest
from gateway.origin.errors import OriginError, origin_errors


def measure_body(root: Path, location: str) -> int:
    """The bytes of a body that can be read; of a multipart object up to its first part that is too short. Blocks.

    Raises OriginError: BodyNotFound where it, or one of its parts, is not there.
    """
    path = f"{root}/{location}"
    with origin_errors(location):
        if not location.endswith("/"):
            return _size(path)
        manifest, start = load_manifest(path), 0
        for name, end in zip(manifest.names, manifest.ends, strict=True):
            size = _size(path + name)
            if size < end - start:
                return start + size
            start = end
        return start


def _size(path: str) -> int:
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OriginError(f"{path}: not a file")
    return found.st_size
