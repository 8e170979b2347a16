"""Plausible interferograms of volcanoes made from nothing, for given annotations or for invented ones."""
