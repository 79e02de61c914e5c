"""Images inside a page: shrunk, and as a data URI."""

import base64
from io import BytesIO
from typing import Any

from PIL import Image


def data_uri(image: Image.Image, longest_side: int) -> str:
    """The image, its longer side at most so many pixels, as PNG or JPEG, whichever is smaller."""
    image = image.convert("RGB")
    image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    return min(_encoded(image, "PNG"), _encoded(image, "JPEG", quality=82), key=len)


def _encoded(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
