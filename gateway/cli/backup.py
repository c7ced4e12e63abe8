"""anbar backup: the store, the rules and the key ring as they are at one moment, with the media if they are wanted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.installation import DEFAULT_CONFIG, ConfigOption, JsonOption, Refused, print_json, read_settings
from gateway.cli.progress import Progress

if TYPE_CHECKING:
    from gateway.backup.manifest import Contents

_MOST_SHOWN = 20


def backup(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The backup, a directory that is not there yet.")],
    media: Annotated[
        bool, typer.Option("--media", help="With the bodies of the origins that are directories.")
    ] = False,
    without_key_ring: Annotated[
        bool, typer.Option("--without-key-ring", help="Leave out the key ring, which is kept somewhere else.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Take none, but read through the one that is there.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Back up this installation, also while it serves; or with --verify, look whether a backup is whole."""
    from gateway.backup.manifest import BackupError
    from gateway.backup.take import Wanted, take_backup
    from gateway.backup.verify import verify_backup

    if verify and (media or without_key_ring):
        raise typer.BadParameter("--verify takes no backup: it goes without --media and --without-key-ring")
    progress = Progress()
    try:
        if verify:
            contents = verify_backup(directory, progress.show).contents
        else:
            settings = read_settings(config)
            contents = take_backup(config, settings, directory, Wanted(media, not without_key_ring), progress.show)
    except BackupError as error:
        raise Refused(str(error)) from None
    finally:
        progress.end()
    _print(directory, contents, as_json=as_json)
    if contents.lost and not verify:
        raise typer.Exit(1)


def _print(directory: Path, contents: "Contents", *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "backup": str(directory),
                "taken": contents.taken,
                "schema": contents.schema,
                "key_ring": contents.key_ring,
                "media": list(contents.media),
                "bodies": contents.bodies,
                "lost": [{"bucket": each.bucket, "key": each.key, "origin": each.origin, "location": each.location}
                         for each in contents.lost],
            }
        )  # fmt: skip
        return
    print(f"{directory}: a whole backup of {contents.taken}")
    print(f"key ring: {'in it' if contents.key_ring else 'not in it'}")
    print(f"media: {f'{contents.bodies:,} bodies of ' + ', '.join(contents.media) if contents.media else 'not in it'}")
    if contents.lost:
        print(f"{len(contents.lost):,} bodies that the catalog names were not whole at the origin, and are not in it:")
        for each in contents.lost[:_MOST_SHOWN]:
            print(f"  s3://{each.bucket}/{each.key}  ({each.origin}: {each.location})")
