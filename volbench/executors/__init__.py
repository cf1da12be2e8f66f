"""Where tasks run: processes of this machine, SLURM, Ray; each a component named by an entry point.

`lease` makes sure that a task is done exactly once in the record, however often it is run.
"""
