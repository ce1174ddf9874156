"""Adds the widget's built files to the wheel. An editable install serves the modules instead."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WidgetBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds outside the checkout: files left in it would be served for newer modules' own."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build where ``version`` is "standard"; the other one is "editable"."""
        if version == "standard":
            self._folder = TemporaryDirectory()
            sys.path.insert(0, str(Path(self.root, "widget")))
            from thumbseal_widget.build import build, write
            from thumbseal_widget.releases import BUILT

            write(build(self.metadata.version), Path(self._folder.name))
            build_data["force_include"][self._folder.name] = f"thumbseal_widget/{BUILT}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is in the wheel now."""
        if version == "standard":
            self._folder.cleanup()
