"""Formats that are not read: what they are, by the endings or first bytes of their files, and how to export them."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from wellspring.index.readers.listing import files

LOOKED = 2000  # files of a folder that are looked at
OPENED = 50  # of those with an unknown ending, the files whose first bytes are read
HEAD = 1024  # bytes
CONVERT = "bioformats2raw --no-minmax makes an OME-Zarr plate of it, which the reader omezarr reads"
SLIDE = "whole slides have no wells; " + CONVERT
VOLUME = "write a TIFF or OME-Zarr per field (tifffile, Fiji)"
VIDEO = "write its frames as TIFF; a compressed video has lost grey values"
# Format -> what it is, and its export: of the software that made it, or of Bio-Formats' converter.
KINDS = {
    "lof": ("Leica LOF", "LAS X exports TIFF (right-click > Export > TIFF, one file per plane) or saves a .lif"),
    "xlef": ("Leica XLEF", "LAS X exports TIFF (right-click > Export > TIFF, one file per plane) or saves a .lif"),
    "c01": ("Cellomics C01", "HCS Studio exports TIFF (Export > Images); " + CONVERT),
    "dib": ("Cellomics DIB", "HCS Studio exports TIFF (Export > Images); " + CONVERT),
    "vsi": ("Olympus VSI", "cellSens or scanR export OME-TIFF; " + CONVERT),
    "oir": ("Olympus OIR", "cellSens or FluoView export OME-TIFF; " + CONVERT),
    "oib": ("Olympus OIB", "FluoView exports OME-TIFF; " + CONVERT),
    "oif": ("Olympus OIF", "FluoView exports OME-TIFF; " + CONVERT),
    "ims": ("Imaris IMS", "Imaris File Converter or Fiji export OME-TIFF; " + CONVERT),
    "dv": ("DeltaVision DV", "softWoRx exports TIFF; " + CONVERT),
    "mrc": ("MRC", VOLUME),
    "zvi": ("Zeiss ZVI", "AxioVision exports TIFF; " + CONVERT),
    "lsm": ("Zeiss LSM", "ZEN exports OME-TIFF (Export > OME-TIFF); " + CONVERT),
    "sld": ("SlideBook SLD", "SlideBook exports OME-TIFF; " + CONVERT),
    "sldy": ("SlideBook SLDY", "SlideBook exports OME-TIFF; " + CONVERT),
    "nd": ("a MetaMorph .nd list", "its images .stk or .tif are read by index.pattern; leave the .nd out"),
    "pnl": ("ArrayScan or CellWoRx PNL", "export TIFF; " + CONVERT),
    "dcimg": ("Hamamatsu DCIMG", "HCImage exports TIFF; " + CONVERT),
    "ics": ("ICS", CONVERT),
    "pic": ("Bio-Rad PIC", CONVERT),
    "dm": ("Gatan Digital Micrograph", VOLUME),
    "fits": ("FITS", VOLUME),
    "nifti": ("NIfTI", VOLUME),
    "dicom": ("DICOM", "write a TIFF per plane (pydicom, Fiji); " + CONVERT),
    "ole": ("an OLE compound file, as of Zeiss ZVI, Olympus OIB or Cellomics", "export TIFF; " + CONVERT),
    "mrxs": ("3DHISTECH MRXS, a slide", SLIDE),
    "svs": ("Aperio SVS, a slide", SLIDE),
    "ndpi": ("Hamamatsu NDPI, a slide", SLIDE),
    "scn": ("Leica SCN, a slide", SLIDE),
    "bif": ("Ventana BIF, a slide", SLIDE),
    "qptiff": ("QPTIFF, a slide", SLIDE),
    "isyntax": ("Philips iSyntax, a slide", SLIDE),
    "hdf5": ("HDF5", "write images as TIFF or OME-Zarr, profiles as Parquet for an encoder of kind table"),
    "npz": ("NumPy arrays", "write a TIFF per plane; arrays of single cells are read by crops.given"),
    "mat": ("MATLAB", "write a TIFF per plane (imwrite)"),
    "webp": ("WebP", "write TIFF or PNG; WebP has 8 bit and loses grey values"),
    "video": ("a video", VIDEO),
    "pdf": ("a PDF", "export the images as TIFF"),
    "archive": ("an archive", "unpack it"),
    "page": ("a web page or XML, as a download that failed leaves it", "fetch the file again"),
    "lfs": ("pointers of Git LFS, not the files", "run `git lfs pull` in the clone"),
}  # fmt: skip
# Ending -> key of KINDS, where it is not the ending itself.
OTHERS = {
    ".sldyz": "sldy", ".rec": "mrc", ".ids": "ics", ".dm3": "dm", ".dm4": "dm", ".fit": "fits", ".nii": "nifti",
    ".dcm": "dicom", ".ets": "vsi", ".vms": "ndpi", ".h5": "hdf5", ".hdf5": "hdf5", ".h5ad": "hdf5", ".npy": "npz",
    ".xlif": "xlef", ".r3d": "dv", ".avi": "video", ".mp4": "video", ".mov": "video", ".mkv": "video",
    ".zip": "archive", ".tar": "archive", ".gz": "archive", ".tgz": "archive", ".bz2": "archive", ".xz": "archive",
    ".zst": "archive", ".7z": "archive", ".rar": "archive",
}  # fmt: skip
# Kinds that are no ending themselves.
NOT_ENDINGS = ("archive", "dicom", "dm", "hdf5", "lfs", "nifti", "ole", "page", "video")
ENDINGS = {f".{kind}": kind for kind in KINDS if kind not in NOT_ENDINGS} | OTHERS
# First bytes: where they begin, the bytes, and the kind.
MAGIC = (
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (0, b"OLYMPUSRAWFORMAT", "oir"),
    (0, b"DCIMG", "dcimg"),
    (0, b"ics_version", "ics"),
    (0, b"SIMPLE  =", "fits"),
    (128, b"DICM", "dicom"),
    (344, b"n+1\0", "nifti"),
    (208, b"MAP ", "mrc"),
    (96, b"\xa0\xc0", "dv"),
    (0, b"MATLAB ", "mat"),
    (0, b"\x93NUMPY", "npz"),
    (8, b"WEBP", "webp"),
    (8, b"AVI ", "video"),
    (4, b"ftyp", "video"),
    (0, b"\x1aE\xdf\xa3", "video"),
    (0, b"%PDF", "pdf"),
    (0, b"PK\x03\x04", "archive"),
    (0, b"\x1f\x8b", "archive"),
    (0, b"BZh", "archive"),
    (0, b"\xfd7zXZ\0", "archive"),
    (0, b"\x28\xb5\x2f\xfd", "archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "archive"),
    (0, b"Rar!\x1a\x07", "archive"),
    (257, b"ustar", "archive"),
    (0, b"<html", "page"),
    (0, b"<!DOCTYPE", "page"),
    (0, b"<?xml", "page"),
    (0, b"version https://git-lfs", "lfs"),
)


def hint(folder: Path, *, roots: Sequence[Path | str] = ()) -> str:
    """Return what the commonest files of a folder are that no reader reads, empty where they are unknown.

    The ending decides; files of other endings, or without one, are opened: a pointer of Git LFS has the name of the
    image that it stands for.
    """
    counts: Counter[tuple[str, str]] = Counter()
    opened = 0
    for path, _ in islice(files(folder, roots=roots), LOOKED):
        ending = Path(path).suffix.lower()
        kind = ENDINGS.get(ending)
        if kind is None and opened < OPENED:
            opened += 1
            kind = recognised(folder / path)
        if kind is not None:
            counts[ending, kind] += 1
    if not counts:
        return ""
    (ending, kind), count = counts.most_common(1)[0]
    what, export = KINDS[kind]
    return f". {count} files {ending or 'without an ending'} are {what}, which is not read: {export}"


def recognised(path: Path) -> str | None:
    """Return the kind of a file by its first bytes, None for others and for what cannot be read."""
    try:
        if not path.is_file():  # a pipe would never end
            return None
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return None
    return next((kind for start, magic, kind in MAGIC if head[start : start + len(magic)] == magic), None)
