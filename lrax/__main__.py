"""`python -m lrax`: the command line."""

from lrax.cli import main

if __name__ == '__main__':
  main()
