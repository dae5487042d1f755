"""``python -m bnnopt``."""

from bnnopt.cli import main

if __name__ == "__main__":
    main()
