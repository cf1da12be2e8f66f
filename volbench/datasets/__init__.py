"""Datasets: labelled cases."""
