"""The least versions that pyproject.toml declares, as constraints for pip.

    python -m tests.minimums > constraints.txt
    pip install -c constraints.txt '.[test]'

`make test-least` runs the tests with them all in one environment.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
# What the program runs with. The tools of training, tests and measurement are not meant.
EXTRAS = ("serve", "client", "osc", "mqtt", "media", "table", "archive")


def minimums() -> list[str]:
    """ "name==version" of every dependency that declares a least version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for name in EXTRAS for line in extras.get(name, []))]
    pinned = {}
    for requirement in map(Requirement, wanted):
        for part in requirement.specifier:
            if part.operator == ">=":
                pinned[requirement.name] = f"{requirement.name}=={part.version}"
    return sorted(pinned.values())


if __name__ == "__main__":
    print("\n".join(minimums()))
