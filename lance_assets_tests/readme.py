"""What README shows, for tests that do as it says."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def shown(language: str, about: str) -> str:
    """The code block of README that mentions something."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = [block for block in blocks if about in block]
    return found
