"""Draw the rooms of the package and what each imports into `docs/architecture.md`, between two marks.

python scripts/draw_house.py           # writes the page
python scripts/draw_house.py --check   # exit code 1 if the page is not up to date
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "codesign"
PAGE = REPOSITORY / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: python scripts/draw_house.py -->\n", "<!-- end of rooms -->\n"


def rooms() -> dict[str, list[Path]]:
    """The modules of each room: a folder of the package, or a module at its top."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if not room.startswith("__"):
            found.setdefault(room, []).append(path)
    return found


def what_it_is(modules: list[Path]) -> str:
    """The first sentence of a room's docstring."""
    home = next((path for path in modules if path.name == "__init__.py"), modules[0])
    text = ast.get_docstring(ast.parse(home.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return first.rstrip(".").replace("|", "\\|")


def imported_rooms(modules: list[Path]) -> set[str]:
    """The rooms that the modules of a room import, anywhere in them."""
    names: set[str] = set()
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("codesign.")}


def in_order(below: dict[str, set[str]]) -> list[str]:
    """The rooms so that each stands behind all that it imports; those that are free at once by name."""
    done: list[str] = []
    while len(done) < len(below):
        ready = sorted(room for room in below if room not in done and below[room] <= set(done))
        if not ready:
            raise SystemExit(f"the rooms {sorted(set(below) - set(done))} import each other in a circle")
        done += ready
    return done


def table() -> str:
    """The table of the page."""
    house = rooms()
    below = {room: imported_rooms(modules) & set(house) - {room} for room, modules in house.items()}
    lines = ["| place | what | imports |", "| --- | --- | --- |"]
    order = in_order(below)
    for room in order:
        place = f"codesign/{room}/" if (PACKAGE / room).is_dir() else f"codesign/{room}.py"
        imports = ", ".join(sorted(below[room], key=order.index)) or "nothing"
        lines.append(f"| `{place}` | {what_it_is(house[room])} | {imports} |")
    return "\n".join(lines) + "\n"


def drawn(page: str) -> str:
    """The page with the table as it is now."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


def main() -> None:
    """Write or check the page."""
    page = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        sys.exit(
            0
            if drawn(page) == page
            else "docs/architecture.md is not up to date: python scripts/draw_house.py"
        )
    PAGE.write_text(drawn(page), encoding="utf-8")


if __name__ == "__main__":
    main()
