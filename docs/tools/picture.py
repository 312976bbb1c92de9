"""Take docs/images/report.png from a finished run's page: its top, and the first answers.

    python docs/tools/picture.py results/report/index.html

Needs Chromium and chromedriver.
"""

import base64
import io
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from browser import open_browser  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "report.png"
WIDTH, SCALE, PROMPTS, COLOURS = 1320, 1.3, 3, 96
PREPARE = """
for (const one of document.querySelectorAll('nav, .controls, [data-gallery-count], #comparison .note'))
  one.remove();
return document.querySelectorAll('.examples article')[arguments[0]].getBoundingClientRect().top + scrollY;
"""


def main(page: Path) -> None:
    """Write the picture."""
    with open_browser() as window:
        device = {"width": WIDTH, "height": 1400, "deviceScaleFactor": SCALE, "mobile": False}
        window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
        window.get(page.resolve().as_uri())
        height = window.execute_script(PREPARE, PROMPTS)
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
        shot = window.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    image = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
