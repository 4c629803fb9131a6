"""Pictures of a page at three widths in both themes, to look at.

    pictures.py PAGE.html DIRECTORY
"""

import os
import sys

from browser import Browser


def main():
    page_path, out = os.path.abspath(sys.argv[1]), sys.argv[2]
    os.makedirs(out, exist_ok=True)
    with Browser() as browser:
        for width in (360, 1000, 1600):
            for theme in ("light", "dark"):
                page = browser.open("file://" + page_path, width=width,
                                    dark=theme == "dark")
                page.js("document.querySelectorAll('.bar').forEach(b => "
                        "b.style.position = 'static')")
                page.screenshot(os.path.join(out, f"{width}-{theme}.png"), whole=True)


if __name__ == "__main__":
    main()
