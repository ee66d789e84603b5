"""What the control plane needs to start a Python run: the zip for `--py-files` and the text of `launch.py`.

The control plane calls these two functions; nothing else in this room is meant for it. Both are pure: the same input
gives the same bytes, so an object's name in S3 can be made from its content.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PACKAGE = "sparkplane_driver"
# The earliest moment that a zip can hold: a bundle's bytes must depend on its files alone.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LAUNCH = '''\
"""Starts one run. Written by the control plane for this run alone; it holds the run's secret."""
import json

from sparkplane_driver import main

if __name__ == "__main__":
    main(json.loads({config}))
'''


def bundle() -> bytes:
    """A zip of this package under the name `sparkplane_driver`, the same bytes for the same sources.

    Stored, not compressed: compressed bytes would depend on the version of zlib, and the whole is a few tens of
    kilobytes.
    """
    import io
    import pathlib
    import zipfile

    room = pathlib.Path(__file__).parent
    sources = sorted(room.rglob("*.py"), key=lambda source: source.relative_to(room).as_posix())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for source in sources:
            entry = zipfile.ZipInfo(f"{PACKAGE}/{source.relative_to(room).as_posix()}", _EPOCH)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, source.read_bytes())
    return packed.getvalue()


def launch_file(config: Mapping[str, Any]) -> str:
    """The text of `launch.py` for one run; `config` is described at `bootstrap.main` and must be JSON.

    The config stands in the file as an ASCII string literal of JSON, so no value in it can end the literal, change the
    program or depend on the driver's locale. Raises TypeError or ValueError for what JSON cannot say.
    """
    import json

    return _LAUNCH.format(config=ascii(json.dumps(config, sort_keys=True, allow_nan=False)))
