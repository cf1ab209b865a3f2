"""Formats that are not read: what they are, by the endings of their files, and how to export them."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from wellspring.index.readers.listing import files

LOOKED = 2000  # files of a folder that are looked at
CONVERT = "bioformats2raw --no-minmax makes an OME-Zarr plate of it, which the reader omezarr reads"
# Ending -> the format, and its export; of the software that made it, or of Bio-Formats' converter.
FORMATS = {
    ".lof": ("Leica LOF", "LAS X exports TIFF (right-click > Export > TIFF, one file per plane)"),
    ".xlef": ("Leica XLEF", "LAS X exports TIFF (right-click > Export > TIFF, one file per plane)"),
    ".c01": ("Cellomics C01", "HCS Studio exports TIFF (Export > Images); " + CONVERT),
    ".dib": ("Cellomics DIB", "HCS Studio exports TIFF (Export > Images); " + CONVERT),
    ".vsi": ("Olympus VSI", "cellSens or scanR export OME-TIFF; " + CONVERT),
    ".oir": ("Olympus OIR", "cellSens or FluoView export OME-TIFF; " + CONVERT),
    ".oib": ("Olympus OIB", "FluoView exports OME-TIFF; " + CONVERT),
    ".ims": ("Imaris IMS", "Imaris File Converter or Fiji export OME-TIFF; " + CONVERT),
    ".dv": ("DeltaVision DV", CONVERT),
    ".zvi": ("Zeiss ZVI", "AxioVision exports TIFF; " + CONVERT),
    ".lsm": ("Zeiss LSM", CONVERT),
    ".sld": ("SlideBook SLD", "SlideBook exports OME-TIFF; " + CONVERT),
    ".mrxs": ("3DHISTECH MRXS, a slide", "whole slides have no wells; " + CONVERT),
    ".svs": ("Aperio SVS, a slide", "whole slides have no wells"),
    ".h5": ("HDF5", "write images as TIFF or OME-Zarr, profiles as Parquet for an encoder of kind table"),
    ".avi": ("a video", "write its frames as TIFF; a compressed video has lost grey values"),
    ".mp4": ("a video", "write its frames as TIFF; a compressed video has lost grey values"),
    ".zip": ("an archive", "unpack it"),
    ".tar": ("an archive", "unpack it"),
    ".gz": ("an archive", "unpack it"),
    ".7z": ("an archive", "unpack it"),
}  # fmt: skip


def hint(folder: Path, *, roots: Sequence[Path | str] = ()) -> str:
    """Return what the commonest files of a folder are that no reader reads, empty where they are unknown."""
    counts = Counter(Path(path).suffix.lower() for path, _ in islice(files(folder, roots=roots), LOOKED))
    known = [(ending, count) for ending, count in counts.most_common() if ending in FORMATS]
    if not known:
        return ""
    ending, count = known[0]
    what, export = FORMATS[ending]
    return f". {count} files {ending} are {what}, which is not read: {export}"
