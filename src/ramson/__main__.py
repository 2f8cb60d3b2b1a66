"""`python -m ramson` is the command line."""

from ramson.cli import main

if __name__ == "__main__":
    main()
