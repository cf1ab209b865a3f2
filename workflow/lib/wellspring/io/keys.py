"""Key columns of the tables that stages exchange: what identifies a row. No other module lists them."""

WELL_KEY = ["Metadata_Plate", "Metadata_Well"]
SITE_KEY = [*WELL_KEY, "Metadata_Site"]
PLANE_KEY = [*SITE_KEY, "Metadata_Channel", "Metadata_Plane"]
CELL_KEY = [*SITE_KEY, "Metadata_Cell"]
TIME = "Metadata_Timepoint"  # identifies a plate, too, where each time point of its images is a plate (`index.times`)
