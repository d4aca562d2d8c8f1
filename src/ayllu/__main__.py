"""`python -m ayllu`."""

from ayllu.cli import main

if __name__ == "__main__":
    main()
