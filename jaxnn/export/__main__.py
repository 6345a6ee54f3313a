"""`python -m jaxnn.export info FILE`: what is in a file."""

import argparse
import sys

from jaxnn.export.summary import info


def main() -> None:
    """Print a summary; where the file cannot be read, say why, and end with 1."""
    parser = argparse.ArgumentParser(prog="python -m jaxnn.export", description=__doc__)
    parser.add_argument("command", choices=["info"])
    parser.add_argument("file", help="a file of jaxnn.export.save")
    try:
        text = info(parser.parse_args().file)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(text)


if __name__ == "__main__":
    main()
