"""Evaluation of a backbone on labelled images, one protocol per file."""
