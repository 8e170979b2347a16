"""InSAR of volcanoes: annotations, interferograms on disk, masks, crops, splits, synthetic interferograms."""
