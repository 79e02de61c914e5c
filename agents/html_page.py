"""What the pages have in common that show text from outside in one HTML file without network.

Such text reaches a page escaped and clipped, as text only. The one script of a page is fixed, and its hash is in the
page's content security policy.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup


MOST_CHARACTERS = 4000


def page_environment(folder: Path) -> jinja2.Environment:
    """The templates of a folder: they escape what they show, and refuse what they are not given."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clip"] = clip_text
    return environment


def page_script(*files: Path) -> dict[str, Any]:
    """What a template needs of its script: `script`, the files one after the other, and `script_hash`."""
    script = "".join(file.read_text(encoding="utf-8") for file in files)
    return {
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def clip_text(text: Any, most: int = MOST_CHARACTERS) -> str:
    """At most that many characters of a text, and how many more there are."""
    text = str(text)
    return text if len(text) <= most else f"{text[:most]} … and {len(text) - most} more characters"


def page_bytes(text: str) -> bytes:
    """UTF-8; a lone surrogate, which JSON may hold, becomes a question mark."""
    return text.encode(errors="replace")
