"""Classical features of cells, by cp_measure under the names of CellProfiler."""
