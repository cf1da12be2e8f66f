"""The training loop: one fold, from first step to held-out predictions."""
