"""anbar restore: a backup becomes an installation again, where none is."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.installation import DEFAULT_CONFIG, ConfigOption, Refused
from gateway.cli.progress import Progress


def restore(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A backup that `anbar backup` has made.")],
    without_media: Annotated[
        bool, typer.Option("--without-media", help="Leave the origins' directories as they are.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Restore a backup; a gateway.toml that is there says where to, otherwise the backup's own. Replaces nothing."""
    from gateway.backup.manifest import BackupError
    from gateway.backup.restore import restore_backup

    progress = Progress()
    try:
        done = restore_backup(directory, config, media=not without_media, told=progress.show)
    except BackupError as error:
        raise Refused(str(error)) from None
    finally:
        progress.end()
    for path in done.kept:
        print(f"kept  {path}")
    for path in done.made:
        print(f"made  {path}")
    contents = done.manifest.contents
    print(f"This is the state of {contents.taken}. What came later, `anbar reconcile` finds at the origins.")
    if not contents.key_ring:
        print(f"The key ring was not in the backup: put it at {done.settings.secrets.key_ring} (chmod 600).")
