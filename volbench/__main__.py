"""``python -m volbench``: the command line, also from a checkout that is not installed."""

from volbench.cli.main import main

if __name__ == "__main__":
    main(prog_name="volbench")
