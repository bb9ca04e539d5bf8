"""What is the rate doing to this run: a monitor, and verdicts in plain words."""

__all__: list[str] = []
