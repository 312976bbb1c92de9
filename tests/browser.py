"""A headless Chromium for tests, driven over the DevTools protocol."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
PACKAGES = ("chromium", "chromium-driver")
BROWSERS, DRIVERS = ("chromium", "google-chrome", "chromium-browser"), ("chromedriver",)


def _find(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


def _programs() -> tuple[str, str]:
    """Browser and driver, installed where they lack and can be; else a skipped test, with the reason."""
    if not (_find(BROWSERS) and _find(DRIVERS)) and shutil.which("apt-get") and os.geteuid() == 0:
        for command in (["apt-get", "update"], ["apt-get", "install", "-y", *PACKAGES]):
            subprocess.run(command, check=False, capture_output=True)
    browser, driver = _find(BROWSERS), _find(DRIVERS)
    if browser is None or driver is None:
        pytest.skip("NO BROWSER: these tests need Chromium and chromedriver, which could not be installed")
    return browser, driver


@contextmanager
def open_browser(scripts: bool = True) -> Iterator[Any]:
    """A browser that logs its console and every request; without scripts, pages run none of theirs."""
    from selenium import webdriver

    browser, driver = _programs()
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ARGUMENTS:
        options.add_argument(argument)
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield window
    finally:
        window.quit()


def emulate(window: Any, width: int, scheme: str = "light", media: str = "") -> None:
    """A device of that width, its colour scheme, and a medium such as print."""
    device = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 900}
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})
