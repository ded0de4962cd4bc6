"""What the package's metadata take from the repository it is built in: addresses, and a README whose links lead there.

GitHub's workflows name the repository in $GITHUB_REPOSITORY. Built elsewhere, the package has no addresses.
"""

import os
import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Repository(MetadataHookInterface):
    def update(self, metadata: dict) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        if repository := os.environ.get("GITHUB_REPOSITORY"):
            owner, name = repository.split("/")
            home, pages = f"https://github.com/{repository}", f"https://{owner}.github.io/{name}/"
            metadata["urls"] = {
                "Documentation": pages,
                "Source": home,
                "Issues": f"{home}/issues",
                "Changelog": f"{home}/blob/main/CHANGELOG.md",
            }
            text = re.sub(r"(!\[[^]]*\])\((?!https?:)", rf"\1({home}/raw/main/", text)
            text = re.sub(r"(?<!!)(\[[^]]*\])\((?!https?:|#)", rf"\1({home}/blob/main/", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
