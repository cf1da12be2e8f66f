"""Data sets: labelled cases with a patient each."""
