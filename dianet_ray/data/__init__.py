"""From a data set folder to dynamic images in parquet."""
