"""Weights in and out: load, export, model card, push to the Hugging Face Hub."""
