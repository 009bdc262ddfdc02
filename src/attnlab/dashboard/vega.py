"""Vega, Vega-Lite and vega-embed as one script, out of vl-convert: nothing is vendored, nothing is downloaded."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

GLOBALS = "window.vegaEmbed = vegaEmbed; window.vega = vega; window.vegaLite = vegaLite;"


def vega_bundle() -> str:
    """Sets vegaEmbed, vega and vegaLite on the window. Bundling takes a second or more, so the script is kept."""
    kept = _cache_dir() / f"vega-{metadata.version('vl-convert-python')}.js"
    try:
        return kept.read_text(encoding="utf-8")
    except OSError:
        pass
    import vl_convert

    script = str(vl_convert.javascript_bundle(GLOBALS))
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_name(f".{kept.name}.{os.getpid()}")
        temporary.write_text(script, encoding="utf-8")
        os.replace(temporary, kept)
    except OSError:
        pass  # a home that cannot be written to: bundled anew each time
    return script


def _cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attnlab"
