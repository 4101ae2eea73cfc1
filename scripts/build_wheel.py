"""How the wheel gets the designs: `models/` is copied into the package, so that `codesign new` works without the repository.

Setuptools takes `BuildWithDesigns` from here (`pyproject.toml`). A checkout reads `models/` itself.
"""

from __future__ import annotations

from pathlib import Path

from setuptools.command.build_py import build_py


class BuildWithDesigns(build_py):
    """Copies the designs of `models/` to `codesign/designs`."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._designs().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._designs().values()]

    def get_source_files(self) -> list[str]:
        """What a source distribution needs, this file included."""
        return [*super().get_source_files(), *self._designs(), "scripts/build_wheel.py"]

    def _designs(self) -> dict[str, str]:
        files = sorted(file for file in Path("models").glob("*/*") if file.suffix in (".yaml", ".py"))
        return {
            str(file): str(Path(self.build_lib) / "codesign" / "designs" / file.relative_to("models"))
            for file in files
        }
