"""Photographs that occur twice, exactly or nearly, within a data set and between two."""
