"""Features of foreign tables: what each rule takes, and what it never takes."""

import logging
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.encoders import profile_table
from wellspring.encoders.table_features import choose, is_metadata

# Numbers about the image, the acquisition or the row, as tables of CellProfiler, CytoTable, JUMP and pandas have.
NEVER = """
Unnamed: 0,dose,Dose_uM,Concentration,metadata_row,Metadata_row,Image_Count_Cells,Image_Width_DNA,Location_Center_X,
Cells_Location_Center_X,Nuclei_Location_CenterMassIntensity_Y_DNA,ImageNumber,ObjectNumber,TableNumber,
Cells_Number_Object_Number,Cytoplasm_Parent_Cells,Cells_Children_Cytoplasm_Count,Nuclei_AreaShape_Center_X,
Cells_AreaShape_BoundingBoxMaximum_Y,Image_ExecutionTime_01Images,ExecutionTime_05MeasureTexture,Count_Nuclei,
Image_Group_Index,cell_count,n_cells,row,col,plate_column,timepoint,time_h,fov,x,Y,centroid-0,center_x,batch,replicate,
level_0,plate_id,Nuclei - Number of Objects,NumberOfAnalyzedFields,Total Cells,Cell Count wv1,Height [\u00b5m],Time [s],
Nuclei - Position X [\u00b5m] - Mean per Well,Nuc cg X wv1,x_centroid,nucleus_x,BoundingBox_X,StagePositionY,X (um),
elapsed_s,acquisition_duration,md5,file_hash,uuid,qc_flag,leiden,quadrant,well_num,Frame_DNA,Series_DNA,Scaling_DNA,
Threshold_FinalThreshold_Nuclei,ImageQuality_PowerLogLogSlope_DNA,Nuclei_Center_X,Mean_Nuclei_AreaShape_Center_Y,
Cells_Neighbors_FirstClosestObjectNumber_5
""".replace("\n", "").split(",")
MEASURED = ["Cells_AreaShape_Area", "Nuclei_Texture_Contrast_DNA_3_00_256", "Cytoplasm_Neighbors_NumberOfNeighbors_10"]


def schema(*names, **kinds):
    return pa.schema([(name, kinds.get(name, pa.float64())) for name in names])


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["compartments", "families", "numeric"]))
def test_positions_counts_times_and_row_numbers_are_never_features(draw, rule):
    wanted = {
        "compartments": [*MEASURED, "Cells_Intensity_MeanIntensity_DNA"],
        "families": [f"efficientnet_{number}" for number in range(60)],
        "numeric": ["area", "mean intensity", "eccentricity", "PC", "solidity"],
    }[rule]
    names = [*wanted, *draw.sample(NEVER, k=draw.randint(0, len(NEVER)))]
    draw.shuffle(names)
    chosen = choose(
        schema("Metadata_Plate", "Metadata_Well", *names), keys=["Metadata_Plate", "Metadata_Well"], where="t"
    )
    assert chosen.rule == rule
    assert chosen.names == tuple(name for name in names if name in wanted)  # in the order of the file
    assert chosen.left == tuple(name for name in names if name not in wanted)
    assert chosen.origin["features"] == len(wanted)


def test_compartments_are_those_of_pycytominer_without_what_describes_an_object():
    from pycytominer.cyto_utils import infer_cp_features

    names = [*MEASURED, *(name for name in NEVER if name.split("_")[0] in ("Cells", "Nuclei", "Cytoplasm"))]
    table = pd.DataFrame(np.ones((2, len(names) + 1)), columns=[*names, "Metadata_Plate"])
    peer = infer_cp_features(table)
    chosen = choose(pa.Schema.from_pandas(table, preserve_index=False), keys=["Metadata_Plate"], where="t")
    assert set(chosen.names) < set(peer)
    assert sorted(set(peer) - set(chosen.names)) == sorted(set(names) - set(MEASURED))


def test_other_objects_of_cellprofiler_are_compartments_but_the_image_is_not():
    form = schema(
        "Organoids_AreaShape_Area", "Image_Intensity_MeanIntensity_DNA", "something_else", "Image_Count_Cells"
    )
    chosen = choose(form, keys=[], where="t")
    assert (chosen.rule, chosen.names) == ("compartments", ("Organoids_AreaShape_Area",))


def test_names_of_images_of_cellprofiler_with_a_statistic_are_compartments():
    form = schema(
        "Mean_Nuclei_AreaShape_Area", "StDev_Spots_Texture_Contrast_DNA", "Median_Nuclei_Number_Object_Number"
    )
    chosen = choose(form, keys=[], where="t")
    assert (chosen.rule, chosen.names) == ("compartments", tuple(form.names[:2]))


@pytest.mark.parametrize(("stem", "rule"), [("measure", "numeric"), ("feature_", "families")])
def test_one_name_as_cellprofilers_does_not_choose_the_features(stem, rule):
    names = [f"{stem}{number if rule == 'families' else chr(97 + number)}" for number in range(6)]
    chosen = choose(schema("well", "Nuclei_Score", *names), keys=["well"], where="t")
    assert chosen.rule == rule and set(names) <= set(chosen.names)


def test_numbered_columns_without_a_stem_are_a_family():
    names = [str(number) for number in range(20)]
    assert choose(schema("well", "dose", *names), keys=["well"], where="t").names == tuple(names)


def test_numbered_positions_and_counts_are_no_family():
    places = [f"bbox-{number}" for number in range(4)] + [f"centroid_{number}" for number in range(3)]
    counts = [f"cell_count_{number}" for number in range(1, 4)]
    names = [f"embedding_{number}" for number in range(16)]
    chosen = choose(schema("well", *places, *names, *counts), keys=["well"], where="t")
    assert (chosen.rule, chosen.names, chosen.left) == ("families", tuple(names), (*places, *counts))
    assert choose(schema(*places, "area"), keys=[], where="t").names == ("area",)


def test_what_is_asked_for_is_taken():
    names = ("Cells_AreaShape_Area", "Cells_Location_Center_X", "dose", "Image_Count_Cells")
    ask = lambda *patterns: choose(schema(*names), keys=[], patterns=patterns, where="t").names  # noqa: E731
    assert ask("Cells_") == names[:1]
    assert ask("Cells_", "Cells_Location_") == names[:2]
    assert ask("dose", "Image_Count_Cells") == names[2:]


NUMBERS = ["area", "PC1", "f", "umap1", "Texture", "perimeter", "feature_x3", "mean_intensity_1"]


@pytest.mark.parametrize("name", [*NUMBERS, "Cell Area [\u00b5m\u00b2]", "gradient_x"])
def test_measurements_are_not_metadata(name):
    assert not is_metadata(name)


@pytest.mark.parametrize(
    "name",
    ["n_umis", "total_UMIs", "library_size", "size_factor", "pct_counts_mt", "percent.mito", "pct_mito", "nCount_RNA",
     "nFeature_RNA", "log1p_n_genes", "doublet_score", "n_genes_by_counts", "mito_fraction"],
)  # fmt: skip
def test_quality_of_sequenced_wells_is_metadata_and_genes_are_not(name):
    assert is_metadata(name)
    genes = ("TP53", "ACTB", "MT-CO1", "RIBC1", "ENSG00000141510")
    assert choose(schema(name, *genes), keys=[], where="t").names == genes


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_row_number_of_any_name_is_no_feature_and_is_listed(tmp_path, suffix, caplog):
    rng = np.random.default_rng(0)
    wells = [f"{row}{column:02d}" for row in "ABC" for column in range(1, 6)]
    table = pd.DataFrame(
        {"Metadata_Plate": "p", "Metadata_Well": wells, "area": rng.normal(size=15), "size": rng.integers(0, 9, 15)}
    )
    table["somebody"] = random.Random(1).sample(range(100, 115), 15)
    path = tmp_path / f"a.{suffix}"
    table.to_parquet(path, index=False) if suffix == "parquet" else table.to_csv(path, index=False)
    with caplog.at_level(logging.INFO):
        opened = profile_table.open_table(path, plate="p", wells_of_plate=wells)
    assert opened.features == ["area", "size"]
    assert opened.origin["rule"] == "numeric" and opened.origin["not_features"] == ["somebody"]
    assert "2 features by the rule 'numeric'" in caplog.text and "['somebody']" in caplog.text
