"""The guard against a torchvision that does not import: every vision class of transformers would fail obscurely."""

from importlib.util import find_spec


def torchvision_problem() -> str | None:
    """What is wrong with torchvision and how to mend it; `None` if it works or is absent."""
    if find_spec("torchvision") is None:
        return None
    try:
        import torchvision  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        return f"torchvision is installed but does not import beside this torch: pip uninstall torchvision ({reason})"
    return None
