"""Files: Parquet tables, embeddings, NGFF plates, raw images, object stores, provenance."""
