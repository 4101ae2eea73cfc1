"""``python -m codesign.cli``."""

from codesign.cli import main

if __name__ == "__main__":
    main()
