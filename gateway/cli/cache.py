"""anbar cache: what is kept close, dropping it, and filling it beforehand."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.installation import (
    DEFAULT_CONFIG,
    ConfigOption,
    Installation,
    JsonOption,
    Refused,
    load_installation,
    open_whole_store,
    print_json,
    print_table,
    read_settings,
    run,
)
from gateway.cli.move_in import find_category
from gateway.cli.presign import parse_target
from gateway.cli.progress import Progress
from gateway.cli.usage import render_size
from gateway.config import Settings

if TYPE_CHECKING:
    from gateway.cache.board import Board
    from gateway.objects.rooms import Rooms

app = typer.Typer(help="What is kept close of S3 origins.", no_args_is_help=True)

_MOST_LINES_SHOWN = 20
_AT_A_TIME = 4


@app.command("stats")
def stats(as_json: JsonOption = False, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show what lies on disk, and what each running worker has counted since it began."""
    settings = read_settings(config)
    from gateway.cache.purge import disk_usage

    path = settings.cache.path
    with _board(settings) as board, _refused():
        workers = board.workers()
        used = None if path is None else disk_usage(path)
    if as_json:
        most = None if path is None else settings.cache.max_bytes
        print_json({"disk_bytes": used, "max_bytes": most, "workers": workers})
        return
    if used is not None:
        print(f"{path}: {render_size(used)} of {render_size(settings.cache.max_bytes)}")
    if not workers:
        print("no worker keeps anything now")
        return
    columns = [f"WORKER {number + 1}" for number in range(len(workers))]
    rows = [(name.replace("_", " "), *(f"{each[name]:,}" for each in workers)) for name in workers[0]]
    print_table(("COUNTED", *columns), rows, right=columns)


@app.command("purge")
def purge(
    category: Annotated[
        str | None, typer.Option("--category", metavar="C", help="Only of this category: CATEGORY or PROJECT/CATEGORY.")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", metavar="s3://BUCKET/PREFIX", help="Only of keys that begin so.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="s3://BUCKET/KEY", help="Only of this key.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Drop what is kept, all of it or what is named; running workers see it at once."""
    if sum(each is not None for each in (category, prefix, key)) > 1:
        raise typer.BadParameter("one of --category, --prefix and --key")
    settings, wanted = _selected(category, prefix, key, config)
    from gateway.cache.purge import purge as drop

    with _board(settings) as board, _refused():
        done = drop(board, settings.cache.path, wanted)
    if as_json:
        print_json({"blocks": done.blocks, "bytes": done.bytes})
    else:
        print(f"{done.blocks:,} blocks ({render_size(done.bytes)}) are gone from disk; memory is empty")


@app.command("warm")
def warm(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A line s3://BUCKET/KEY for each object.")],
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Read objects, so that they are on the cache's disk when they are asked for."""
    installation = load_installation(config)
    if installation.settings.cache.path is None:
        raise Refused("there is no disk to warm: [cache] path is not set")
    targets = [parse_target(line) for line in _lines(file)]
    failed = run(_warm(installation, targets))
    if as_json:
        rows = [{"bucket": bucket, "key": key, "reason": why} for (bucket, key), why in failed]
        print_json({"warmed": len(targets) - len(failed), "failed": rows})
    else:
        for (bucket, key), why in failed[:_MOST_LINES_SHOWN]:
            print(f"s3://{bucket}/{key}: {why}", file=sys.stderr)
        print(f"{len(targets) - len(failed):,} of {len(targets):,} objects are warm")
    if failed:
        raise typer.Exit(1)


def _selected(
    category: str | None, prefix: str | None, key: str | None, config: ConfigOption
) -> tuple[Settings, Callable[[str, str], bool] | None]:
    if category is not None:
        installation = load_installation(config)
        bucket = find_category(installation, category).bucket
        return installation.settings, lambda of, _: of == bucket
    settings = read_settings(config)
    if key is not None:
        wanted = parse_target(key)
        return settings, lambda of, name: (of, name) == wanted
    if prefix is not None:
        bucket, beginning = _parse_prefix(prefix)
        return settings, lambda of, name: of == bucket and name.startswith(beginning)
    return settings, None


def _parse_prefix(text: str) -> tuple[str, str]:
    bucket, _, beginning = text.removeprefix("s3://").partition("/")
    if not text.startswith("s3://") or not bucket:
        raise typer.BadParameter("like s3://photos/2026/", param_hint="--prefix")
    return bucket, beginning


def _lines(file: str) -> list[str]:
    try:
        if file == "-":
            return [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
        with open(file, encoding="utf-8") as opened:
            return [line.rstrip("\r\n") for line in opened if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Refused(f"{file}: {why}") from None


async def _warm(installation: Installation, targets: list[tuple[str, str]]) -> list[tuple[tuple[str, str], str]]:
    """Read them, a few at a time; gives those that could not be, each with the reason."""
    import asyncio

    from gateway.origin.errors import OriginError
    from gateway.startup import Caching, StartError, open_rooms

    progress = Progress()
    waiting, failed = iter(targets), []

    async def work(rooms: "Rooms") -> None:
        for bucket, key in waiting:
            progress.show(f"s3://{bucket}/{key}")
            why = await _read(installation, rooms, bucket, key)
            if why is not None:
                failed.append(((bucket, key), why))

    try:
        async with (
            open_whole_store(installation.settings) as store,
            open_rooms(installation.settings, store, caching=Caching.WARMING) as rooms,
        ):
            await asyncio.gather(*[work(rooms) for _ in range(_AT_A_TIME)])
    except (OriginError, StartError) as error:
        raise Refused(str(error)) from None
    finally:
        progress.end()
    return failed


async def _read(installation: Installation, rooms: "Rooms", bucket: str, key: str) -> str | None:
    """Read one object to its end; gives why that cannot be."""
    from gateway.errors import S3Error
    from gateway.objects.current import Keeping
    from gateway.objects.get import Wanted, open_object
    from gateway.origin.errors import OriginError
    from gateway.s3.conditions import NO_CONDITIONS

    category = installation.policies.bucket(bucket)
    if category is None or not category.cache:
        return "its category keeps nothing close"
    try:
        record = await rooms.store.catalog.find(bucket, key)
        if record is None:
            return "there is no such object"
        keeping = Keeping(category.cache_max_object_size)
        found, reader = await open_object(rooms, record, Wanted(NO_CONDITIONS, keeping=keeping))
        if reader is None:
            return None
        try:
            done = 0
            while done < found.size:
                done += len(await reader.read(done, found.size - done))
        finally:
            reader.close()
    except S3Error as error:
        return error.message
    except OriginError as error:
        return str(error)
    return None


@contextmanager
def _board(settings: Settings) -> Iterator["Board"]:
    from gateway.cache.board import Board, board_path

    board = Board(board_path(settings.store.path))
    try:
        yield board
    finally:
        board.close()


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refused(f"{error.filename or 'the cache'}: {error.strerror}") from error
