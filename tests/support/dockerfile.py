"""The steps of a Dockerfile, read, and carried out without a container engine: in directories, by chroot.

Only what ours uses: ARG before FROM, FROM … AS, WORKDIR, COPY [--from], RUN, ENV, USER, VOLUME, HEALTHCHECK, CMD in its
list form. https://docs.docker.com/reference/dockerfile/
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOUNT = """
set -e
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
"""
_SEAL = """
for volume in $VOLUMES; do mount --bind "$HELD/$(echo "$volume" | tr / -)" "$ROOT$volume"; done
mount -t tmpfs tmpfs "$ROOT/tmp"
mount -o remount,bind,ro "$ROOT"
ip link set lo up
"""


@dataclass
class Stage:
    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


@dataclass
class Image:
    """What a container is made from."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    user: str = "root"
    directory: str = "/"
    volumes: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


def parse_dockerfile(text: str) -> list[Stage]:
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    plain = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", plain).splitlines():
        if not line.strip():
            continue
        instruction, value = line.strip().split(maxsplit=1)
        if instruction == "ARG" and not stages:
            name, _, default = value.partition("=")
            arguments[name] = default
        elif instruction == "FROM":
            base, *more = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], value).split()
            stages.append(Stage(base, more[1] if more else ""))
        else:
            stages[-1].steps.append((instruction, value))
    return stages


def build(stages: Sequence[Stage], context: Path, base: Path, work: Path, environment: Mapping[str, str]) -> Image:
    """Carry out all steps on copies of the root directory `base`; `environment` is that of the RUN steps alone."""
    built: dict[str, Image] = {}
    image = Image(base)
    for number, stage in enumerate(stages):
        image = Image(work / f"stage-{number}")
        copy_root(base, image.root)
        for instruction, value in stage.steps:
            _carry_out(image, instruction, value, context, built, environment)
        built[stage.name] = image
    return image


def copy_root(base: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--reflink=auto", base, target], check=True)


def run_step(image: Image, step: str, environment: Mapping[str, str]) -> None:
    """Run a line of shell in the image, as root and with the machine's network."""
    argv = ["unshare", "--mount", "sh", "-c", f'{_MOUNT}exec chroot "$ROOT" /bin/sh -c "cd $DIRECTORY && $STEP"']
    told = {"ROOT": str(image.root), "DIRECTORY": image.directory, "STEP": step}
    subprocess.run(argv, env={**environment, **image.environment, **told}, check=True)


def _carry_out(
    image: Image,
    instruction: str,
    value: str,
    context: Path,
    built: Mapping[str, Image],
    environment: Mapping[str, str],
) -> None:
    if instruction == "RUN":
        run_step(image, value, environment)
    elif instruction == "COPY":
        _copy(image, value, context, built)
    elif instruction == "ENV":
        for pair in shlex.split(value):
            name, _, text = pair.partition("=")
            image.environment[name] = re.sub(r"\$(\w+)", lambda found: image.environment[found[1]], text)
    elif instruction == "WORKDIR":
        image.directory = value
        (image.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif instruction == "USER":
        image.user = value
    elif instruction == "VOLUME":
        image.volumes = json.loads(value)
    elif instruction == "CMD":
        image.command = json.loads(value)
    elif instruction == "HEALTHCHECK":
        image.health = json.loads(value.partition(" CMD ")[2])
    else:
        assert instruction in ("EXPOSE", "STOPSIGNAL"), f"{instruction} is not known here"


def _copy(image: Image, value: str, context: Path, built: Mapping[str, Image]) -> None:
    *sources, target = shlex.split(value)
    left_out = shutil.ignore_patterns("__pycache__")  # .dockerignore is of the context alone
    if sources[0].startswith("--from="):
        context = built[sources.pop(0).removeprefix("--from=")].root
        left_out = shutil.ignore_patterns()
    place = image.root / os.path.join(image.directory, target).lstrip("/")
    for source in (context / source.lstrip("/") for source in sources):
        into = place / source.name if target.endswith("/") and source.is_file() else place
        into.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, into, symlinks=True, dirs_exist_ok=True, ignore=left_out)
        else:
            shutil.copy2(source, into)


@dataclass
class Container:
    """A running image: its root read-only, its volumes directories of `held`, no network but its own loopback."""

    image: Image
    held: Path
    process: subprocess.Popen[str]

    @classmethod
    def run(cls, image: Image, held: Path) -> "Container":
        for volume in image.volumes:  # a new volume is a copy of what is there
            place = held / volume.replace("/", "-")
            if not place.exists():
                subprocess.run(["cp", "-a", image.root / volume.lstrip("/"), place], check=True)
        enter = f'{_MOUNT}{_SEAL}exec chroot --userspec="$WHO" "$ROOT" env -i "$@"'
        told = {"ROOT": str(image.root), "HELD": str(held), "VOLUMES": " ".join(image.volumes), "WHO": image.user}
        process = subprocess.Popen(
            ["unshare", "--mount", "--net", "sh", "-c", enter, "sh", *_settings(image), *image.command],
            env={"PATH": _PATH, **told},
            stdout=subprocess.PIPE,
            text=True,
        )
        return cls(image, held, process)

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ready: "):
                return
        raise AssertionError(f"it ended with {self.process.wait()}")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """What `docker exec` does."""
        enter = ["nsenter", "--target", str(self.process.pid), "--mount", "--net", "chroot"]
        return subprocess.run(
            [
                *enter,
                f"--userspec={self.image.user}",
                str(self.image.root),
                "env",
                "-i",
                *_settings(self.image),
                *command,
            ],
            capture_output=True,
            text=True,
            check=False,
        )


def _settings(image: Image) -> list[str]:
    return [*(f"{name}={value}" for name, value in image.environment.items()), "HOME=/var/lib/anbar"]
