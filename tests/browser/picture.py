"""The picture of the launch page in ``docs/``. ``python -m tests.browser.picture`` takes it, with a headless Chromium.

Two browsers draw a page differently, so a picture is not compared: it holds a digest of what was on the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import zlib

from annex_bootstrap.launch import launch_page
from template_gen.archive import ROOT
from template_gen.template import build
from tests.browser.chromium import chromium, new_page

URL = "https://s3.eu-west-1.amazonaws.com/made-up/annex-bootstrap/0.2.0/annex-bootstrap.template.json"
PICTURES = {scheme: ROOT / "docs" / f"launch-{scheme}.png" for scheme in ("light", "dark")}
WIDTH = 900

KEYWORD = b"Page"
"""Of the text in the picture that holds the digest."""

HEAD = 8
"""Bytes before the first chunk of a PNG. Each chunk has its length, its type, its data and a checksum. Source:
https://www.w3.org/TR/png-3/#5Chunk-layout"""


def page() -> str:
    """Return the launch page as it is when somebody has published it."""
    return launch_page.render(json.loads(build().to_json()), "aws", URL)


def digest(html: str) -> str:
    """Return a digest of what the picture shows: the page up to its second step, without what is folded up."""
    style = "".join(re.findall(r"<style>.*?</style>", html, re.DOTALL))
    body, second_step, _ = html.partition('<section aria-labelledby="after">')
    assert second_step, "the launch page has no second step"
    shown = re.sub(r"<details.*?</details>|<script.*?</script>|<head>.*?</head>", "", body, flags=re.DOTALL)
    return hashlib.sha256((style + shown).encode()).hexdigest()


def put_text(png: bytes, text: str) -> bytes:
    """Return a PNG with a text in it, after its first chunk."""
    data = b"tEXt" + KEYWORD + b"\0" + text.encode()
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    (length,) = struct.unpack_from(">I", png, HEAD)
    end = HEAD + 12 + length
    return png[:end] + chunk + png[end:]


def read_text(png: bytes) -> str:
    """Return the text in a PNG; empty where there is none."""
    found = re.search(rb"tEXt" + KEYWORD + rb"\0([0-9a-f]{64})", png)
    return found[1].decode() if found else ""


def main() -> None:
    """Take the pictures."""
    html = page()
    with chromium() as pipe:
        context = pipe.call("Target.createBrowserContext")["browserContextId"]
        shown = new_page(pipe, context)
        shown.resize(WIDTH, 900)
        frame = shown.call("Page.getFrameTree")["frameTree"]["frame"]["id"]
        shown.call("Page.setDocumentContent", frameId=frame, html=html)
        height = shown.run("document.querySelector('[aria-labelledby=after]').getBoundingClientRect().top")
        for scheme, path in PICTURES.items():
            shown.prefer(scheme)
            clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
            shot = shown.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
            path.write_bytes(put_text(base64.b64decode(shot["data"]), digest(html)))


if __name__ == "__main__":
    main()
