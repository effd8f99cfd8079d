"""The command ``owtrend`` as ``python -m owtrend``."""

from owtrend.cli.main import run

if __name__ == "__main__":
    run()
