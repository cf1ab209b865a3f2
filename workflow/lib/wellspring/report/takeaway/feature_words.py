"""Names of classical features, and of intensity statistics, in words: compartment, channel, kind and the whole.

The names are those of CellProfiler, `<Compartment>_<Family>_<Measure>[_<channel>...][_<numbers>...]`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

COMPARTMENTS = {"Cells": "cell", "Cytoplasm": "cytoplasm", "Nuclei": "nucleus", "Image": "field"}
KINDS = {
    "Intensity": "intensity",
    "AreaShape": "shape",
    "Texture": "texture",
    "Granularity": "granularity",
    "RadialDistribution": "radial distribution",
    "Correlation": "correlation of channels",
    "Neighbors": "neighbours",
    "Location": "position",
    "Children": "count",
    "Count": "count",
}
MEASURES = {
    "IntegratedIntensity": "total intensity",
    "IntegratedIntensityEdge": "total intensity at the edge",
    "MeanIntensity": "mean intensity",
    "MeanIntensityEdge": "mean intensity at the edge",
    "MedianIntensity": "median intensity",
    "MinIntensity": "lowest intensity",
    "MinIntensityEdge": "lowest intensity at the edge",
    "MaxIntensity": "highest intensity",
    "MaxIntensityEdge": "highest intensity at the edge",
    "StdIntensity": "spread of the intensity",
    "StdIntensityEdge": "spread of the intensity at the edge",
    "MADIntensity": "median deviation of the intensity",
    "LowerQuartileIntensity": "lower quartile of the intensity",
    "UpperQuartileIntensity": "upper quartile of the intensity",
    "MassDisplacement": "distance of the brightest part from the centre",
    "FracAtD": "share of the intensity in a ring",
    "MeanFrac": "mean intensity of a ring",
    "RadialCV": "unevenness around a ring",
    "ZernikePhase": "direction of the pattern of the intensity (Zernike)",
    "Area": "area",
    "BoundingBoxArea": "area of the bounding box",
    "CentralMoment": "moment of the shape about its centre",
    "ConvexArea": "area of the convex hull",
    "EquivalentDiameter": "diameter of a circle of equal area",
    "EulerNumber": "number of pieces minus holes",
    "Extent": "share of the bounding box that is filled",
    "FilledArea": "area with holes filled",
    "HuMoment": "shape moment, the same in every direction (Hu)",
    "InertiaTensor": "spread along an axis of the image (inertia)",
    "InertiaTensorEigenvalues": "spread along a main axis (inertia)",
    "MajorAxisLength": "length of the long axis",
    "MinorAxisLength": "length of the short axis",
    "MaxFeretDiameter": "largest width",
    "MinFeretDiameter": "smallest width",
    "MaximumRadius": "largest distance to the outline",
    "MeanRadius": "mean distance to the outline",
    "MedianRadius": "median distance to the outline",
    "NormalizedMoment": "moment of the shape, scaled by its area",
    "Orientation": "angle of the long axis",
    "Perimeter": "length of the outline",
    "PerimeterCrofton": "length of the outline (Crofton)",
    "SpatialMoment": "moment of the shape about a corner",
    "Eccentricity": "elongation",
    "FormFactor": "roundness of the outline",
    "Solidity": "absence of dents",
    "Compactness": "irregularity of the outline",
    "Correlation": "correlation",
    "Manders": "overlap (Manders)",
    "Costes": "overlap (Costes)",
    "RWC": "rank-weighted overlap",
    "Overlap": "overlap",
    "K": "overlap (coefficient k)",
    "Slope": "slope between the channels",
    "PercentTouching": "share of the outline that touches others",
    "NumberOfNeighbors": "number of neighbours",
    "FirstClosestDistance": "distance to the nearest neighbour",
    "SecondClosestDistance": "distance to the second neighbour",
    "AngleBetweenNeighbors": "angle between the two nearest neighbours",
}
TEXTURES = {  # Haralick et al. 1973: of pairs of pixels at a distance
    "AngularSecondMoment": "uniformity of the texture",
    "Contrast": "contrast of the texture",
    "Correlation": "correlation of pixels that are near each other",
    "DifferenceEntropy": "disorder of the differences between near pixels",
    "DifferenceVariance": "variance of the differences between near pixels",
    "Entropy": "disorder of the texture",
    "Gabor": "stripes of the texture (Gabor)",
    "InfoMeas1": "information that near pixels share, first measure (texture)",
    "InfoMeas2": "information that near pixels share, second measure (texture)",
    "InverseDifferenceMoment": "smoothness of the texture",
    "SumAverage": "mean of the sums of near pixels (texture)",
    "SumEntropy": "disorder of the sums of near pixels (texture)",
    "SumVariance": "variance of the sums of near pixels (texture)",
    "Variance": "variance of the texture",
}


@dataclass(frozen=True)
class Words:
    """A classical feature in words; what a name lacks is empty."""

    compartment: str
    channel: str
    kind: str
    measure: str

    @property
    def text(self) -> str:
        """The whole, such as `mean intensity of Mito in the cytoplasm`."""
        return f"{self.measure}{f' of {self.channel}' if self.channel else ''} in the {self.compartment}"


def words(name: str, *, channels: Sequence[str] = ()) -> Words | None:
    """Return a feature in words; None if the name is not that of a classical feature.

    Parameters
    ----------
    channels
        Names of the channels; without them, the parts after the measure that are not numbers are channels.

    Examples
    --------
    >>> words("Nuclei_Texture_Contrast_Mito_3_00_256", channels=["DNA", "Mito"]).text
    'contrast of the texture of Mito in the nucleus'
    >>> words("Cells_AreaShape_Area").text
    'area in the cell'
    >>> words("Cells_Correlation_Correlation_DNA_ER", channels=["DNA", "ER"]).text
    'correlation of DNA and ER in the cell'
    """
    compartment, _, rest = name.partition("_")
    family, _, rest = rest.partition("_")
    if compartment not in COMPARTMENTS or not family:
        return None
    known = sorted(channels, key=lambda each: (-len(each), each))
    found, left = list[tuple[int, str]](), f"_{rest}_"
    for channel in known:  # a channel's own name may hold underscores
        while f"_{channel}_" in left:
            at = left.index(f"_{channel}_")
            found.append((at, channel))
            left = left[:at] + "_" + "\0" * len(channel) + left[at + 1 + len(channel) :]
    parts = [part for part in left.replace("\0", "").split("_") if part]
    measure, tail = (parts[0], parts[1:]) if parts else (family, [])
    if not known:
        found = [
            (number, part) for number, part in enumerate(tail) if not re.fullmatch(r"\d+(?:of\d+)?|Adjacent", part)
        ]
    of = " and ".join(channel for _, channel in sorted(found))
    return Words(COMPARTMENTS[compartment], of, KINDS.get(family, _spaced(family)), _measure(family, measure, tail))


def of_intensity(names: Sequence[str], *, channels: Sequence[str], view: str) -> dict[str, Words]:
    """Return the features of an encoder of kind `intensity` in words; others are left out.

    Parameters
    ----------
    names
        They end in `_` and their number: means, standard deviations and correlations in the order of
        `wellspring.encoders.intensity`.
    channels
        Names of its channels, in their order.
    view
        What it looks at: cell, or tile.

    Examples
    --------
    >>> found = of_intensity(["e_1", "e_2", "e_4"], channels=["DNA", "Mito"], view="cell")
    >>> found["e_2"].text, found["e_4"].text
    ('spread of the intensity of DNA in the cell', 'correlation of DNA and Mito in the cell')
    """
    meant = [Words(view, name, "intensity", "mean intensity") for name in channels]
    meant += [Words(view, name, "intensity", "spread of the intensity") for name in channels]
    pairs = (f"{one} and {other}" for one, other in combinations(channels, 2))
    meant += [Words(view, pair, "correlation of channels", "correlation") for pair in pairs]
    numbers = {name: int(name.rpartition("_")[2]) for name in names if name.rpartition("_")[2].isdigit()}
    return {name: meant[number] for name, number in numbers.items() if number < len(meant)}


def _measure(family: str, measure: str, tail: Sequence[str]) -> str:
    if family == "Granularity":
        scale = measure if measure.isdigit() else next((part for part in tail if part.isdigit()), "")
        return f"granularity at scale {scale}".rstrip()
    if family == "Texture":
        return TEXTURES.get(measure, f"texture {_spaced(measure)}")
    if measure == "Zernike" or measure == "ZernikeMagnitude":
        return "shape moment (Zernike)" if family == "AreaShape" else "pattern of the intensity (Zernike)"
    return MEASURES.get(measure, _spaced(measure))


def _spaced(text: str) -> str:
    """Return `MeanRadius` as `mean radius`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower()
