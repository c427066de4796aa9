"""From a manifest to IMAGES: the dynamic images of a data set, made with Ray Data."""
