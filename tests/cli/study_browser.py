#!/usr/bin/env python3
"""Fills in whole user studies in a real browser (Chromium, driven through chromedriver), by keys and by pointer, on wide and
narrow screens, light and dark, from the disk without network and from `pixart study serve`, with reloads and a killed server.

Usage: study_browser.py SOURCE_DIR PIXART [FOLDER_FOR_SCREENSHOTS]
Exit codes: 0 all passed, 1 a check failed, or there is no Chromium.
"""
import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

SOURCE, PIXART = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
SHOTS = pathlib.Path(sys.argv[3]).resolve() if len(sys.argv) > 3 else None
sys.path.insert(0, str(SOURCE / "tests/support"))
import study_images

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that WebDriver gives references
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "ArrowLeft": "\ue012", "ArrowRight": "\ue014", "Tab": "\ue004"}
WIDE, NARROW = (1400, 900), (420, 800)
SECONDS = 20  # to wait for anything


def request(address, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    made = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method or ("POST" if data else "GET"))
    try:
        with urllib.request.urlopen(made, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{address}: {error.read().decode()[:600]}") from None


def wait_for(what, check):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.03)
    raise AssertionError(f"waited in vain for {what}")


class Driver:
    def __init__(self, folder):
        self.process = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port = None
        for line in self.process.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                port = found[1]
                break
        assert port, "chromedriver did not start"
        self.root, self.folder = f"http://127.0.0.1:{port}", folder

    def close(self):
        self.process.terminate()
        self.process.wait()


class Browser:
    """A browser of its own: with an empty storage, as of another person's computer."""

    def __init__(self, driver, size, scheme):
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                     "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        asked = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}}}
        self.session = f"{driver.root}/session/" + request(f"{driver.root}/session", asked)["sessionId"]
        self.downloads = pathlib.Path(tempfile.mkdtemp(dir=driver.folder))
        self.size = size
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        self.cdp("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=size == NARROW)
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        if size == NARROW:
            self.cdp("Emulation.setTouchEmulationEnabled", enabled=True)

    def cdp(self, command, **parameters):
        return request(f"{self.session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def close(self):
        request(self.session, method="DELETE")

    def go(self, address):
        request(f"{self.session}/url", {"url": address})

    def reload(self):
        request(f"{self.session}/refresh", {})

    def js(self, script, *arguments):
        return request(f"{self.session}/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, key):
        key = KEYS.get(key, key)
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        request(f"{self.session}/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def click(self, selector, number=0):
        """Where a person would: the pointer must hit the element, nothing may cover it."""
        found = request(f"{self.session}/elements", {"using": "css selector", "value": selector})
        assert len(found) > number, f"no {selector}"
        request(f"{self.session}/element/{found[number][ELEMENT]}/click", {})

    def heading(self):
        return self.js("return (document.querySelector('h2') || {}).textContent || ''")

    def place(self):
        return self.js("return document.getElementById('place').textContent")

    def settled(self):
        """All images of the screen are shown."""
        wait_for("images", lambda: self.js("return [...document.querySelectorAll('.images img')].every(i => i.complete && i.naturalWidth > 0)"))

    def shot(self, name):
        if SHOTS:
            SHOTS.mkdir(parents=True, exist_ok=True)
            (SHOTS / f"{name}.png").write_bytes(base64.b64decode(request(f"{self.session}/screenshot")))

    def saved(self):
        return wait_for("the saved file", lambda: sorted(self.downloads.glob("*.jsonl")))[-1].read_text()

    def require_quiet(self, allowed=""):
        """No line on the console, but those of a server that was killed."""
        lines = request(f"{self.session}/se/log", {"type": "browser"})
        left = [line["message"] for line in lines if not (allowed and re.search(allowed, line["message"]))]
        assert not left, left

    def require_layout(self, where):
        problems = self.js("""
          const problems = [], width = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth > width) problems.push('wider than the screen: ' + document.documentElement.scrollWidth);
          for (const image of document.querySelectorAll('img')) if (!image.closest('dialog') && !image.alt) problems.push('an image without alt');
          for (const button of document.querySelectorAll('main button')) {
            const box = button.getBoundingClientRect(), name = button.getAttribute('aria-label') || button.textContent;
            if (!name.trim()) problems.push('a button without a name');
            if (box.height < 43 || box.width < 43) problems.push('small for a finger: ' + name + ' ' + box.width + ' x ' + box.height);
            if (box.right > width + 1 || box.left < -1) problems.push('outside: ' + name);
          }
          const rows = document.querySelector('main .row');
          if (document.querySelector('.images') && rows.getBoundingClientRect().bottom > innerHeight + 1)
            problems.push('the buttons are below the screen: ' + rows.getBoundingClientRect().bottom + ' of ' + innerHeight);
          return problems;""")
        assert not problems, f"{where}: {problems}"


def is_screen(browser):
    return browser.js("return Boolean(document.querySelector('.images'))")


def is_end(browser):
    return browser.heading() == "Thank you"


def is_consent(browser):
    return browser.js("const b = document.getElementById('start'); return b ? b.textContent : ''")


def pass_pages(browser, by_keys):
    """Consent and introductions, up to a screen or the end."""
    wait_for("a page", lambda: browser.heading())
    while not is_screen(browser) and not is_end(browser):
        wait_for("a button", lambda: is_consent(browser))
        browser.press("Enter") if by_keys else browser.click("#start")
    if is_screen(browser):
        browser.settled()


def answer(browser, number, by_keys, ranks):
    """Answers the screen in one of several ways, by its number."""
    images = browser.js("return document.querySelectorAll('.pick').length")
    if number % 7 == 5:
        return browser.press("c") if by_keys else browser.click("#cannot")
    if not ranks:
        if number % 5 == 3:
            return browser.press("t") if by_keys else browser.click("#equal")
        if by_keys:
            return browser.press(["1", "ArrowRight", "2", "ArrowLeft"][number % 4])
        return browser.click(".pick", number % 2)
    order = [(number + i) % images for i in range(images)]
    for place, image in enumerate(order):
        if place == 2 and number % 3 == 1:
            browser.press("t") if by_keys else browser.click("#equal")
        browser.press(str(image + 1)) if by_keys else browser.click(".pick", image)
    browser.press("Enter") if by_keys else browser.click("#next")


def try_extras(browser, by_keys, name):
    """Enlarged images, going back, and a pause; none of them may answer the screen."""
    before = browser.place()
    browser.press("z") if by_keys else browser.click("figcaption button")
    wait_for("the enlarged image", lambda: browser.js("return document.getElementById('zoom').open"))
    browser.press("ArrowRight")
    browser.press("1")
    wait_for("the second image", lambda: browser.js("return document.getElementById('zoomed').textContent").startswith("Image 2"))
    browser.shot(f"{name}-zoom")
    browser.press("Escape") if by_keys else browser.click("#zoom-end")
    wait_for("the screen", lambda: not browser.js("return document.getElementById('zoom').open"))
    browser.press("p") if by_keys else browser.click("#pause")
    assert browser.heading() == "Pause", browser.heading()
    browser.require_layout(f"{name}, pause")
    pass_pages(browser, by_keys)
    assert browser.place() == before, (before, browser.place())
    browser.press("b") if by_keys else browser.click("#back")
    wait_for("the screen before", lambda: browser.place() != before)


def fill_in(browser, name, by_keys, ranks, in_the_middle=None):
    """The whole study. After a third the page is reloaded; `in_the_middle` is called then, too."""
    pass_pages(browser, by_keys)
    total = int(re.search(r"of (\d+)", browser.place())[1])
    number = 0
    while not is_end(browser):
        if number in (0, 1, total - 1):
            browser.require_layout(f"{name}, screen {number}")
            browser.shot(f"{name}-screen{number}")
        if number == 2:
            try_extras(browser, by_keys, name)
            browser.settled()
            if ranks:  # the order is still there
                browser.press("Enter") if by_keys else browser.click("#next")
            else:
                answer(browser, 1, by_keys, ranks)
            pass_pages(browser, by_keys)
        if number == total // 3:
            place = browser.place()
            if in_the_middle:
                in_the_middle()
            browser.reload()
            wait_for("the page", lambda: "Welcome back" in browser.js("return document.getElementById('main').textContent"))
            browser.shot(f"{name}-back")
            pass_pages(browser, by_keys)
            assert browser.place() == place, f"a reload lost something: {place}, {browser.place()}"
        assert browser.place() == f"Screen {number + 1} of {total}", (number, browser.place())
        before = browser.place()
        answer(browser, number, by_keys, ranks)
        wait_for("the next screen", lambda: browser.place() != before or is_end(browser))
        pass_pages(browser, by_keys)
        number += 1
    browser.require_layout(f"{name}, end")
    browser.shot(f"{name}-end")
    return total


def pixart(*arguments, folder):
    result = subprocess.run([PIXART, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def make(folder, name, *options, models=2, prompts=3):
    names = ["ours", "other", "third", "fourth", "fifth"][:models]
    if not (folder / "prompts.txt").exists():
        study_images.make_models(folder, ["ours", "other", "third", "fourth", "fifth"], prompts, size=256)
    pixart("study", "make", *(f"{n}={n}" for n in names), "--prompts", "prompts.txt", "--people", "2", "--seen", "2", "--degraded", "1", "--repeats", "1",
           "--seed", "5", *options, "--out", name, folder=folder)


def check_answers(text, total, person):
    lines = [json.loads(line) for line in text.splitlines()]
    assert sorted(line["trial"] for line in lines) == list(range(total)), "a screen is missing"
    assert {line["person"] for line in lines} == {person} and all(line["ms"] >= 0 for line in lines), lines
    return lines


def from_disk(driver, folder):
    """Two people, two designs, without network."""
    make(folder, "pairs")
    make(folder, "ranks", "--design", "ranking", models=5)
    for design, person, size, scheme, by_keys in (("pairs", "p01", WIDE, "light", True), ("pairs", "p02", NARROW, "dark", False),
                                                  ("ranks", "p01", WIDE, "dark", False), ("ranks", "p02", NARROW, "light", True)):
        browser, name = Browser(driver, size, scheme), f"{design}-{size[0]}-{scheme}"
        try:
            address = (folder / design / "index.html").as_uri()
            browser.go(address if by_keys is False else f"{address}#{person}")
            if not by_keys:  # the person chooses the number
                browser.shot(f"{name}-start")
                browser.js("const w = document.getElementById('who'); w.value = arguments[0]; w.dispatchEvent(new Event('change'))", person)
            total = fill_in(browser, name, by_keys, ranks=design == "ranks")
            browser.click("#save")
            lines = check_answers(browser.saved(), total, person)
            ties = [line for line in lines if any(len(group) > 1 for group in line.get("order", []))]
            assert ties and any(line.get("cannot_tell") for line in lines), "ties and cannot tell are in it"
            (folder / f"{design}-{person}.jsonl").write_text(browser.saved())
            browser.require_quiet()
            print(f"{name}: {total} screens by {'keys' if by_keys else 'pointer'}", flush=True)
        finally:
            browser.close()
    for design in "pairs", "ranks":
        printed = pixart("study", "score", f"{design}-p01.jsonl", f"{design}-p02.jsonl", "--key", f"{design}.key.json", "--least-seconds", "0",
                         "--most-chance", "1", "--most-contradictions", "1", "--out", f"scores-{design}", folder=folder)
        assert "2 of 2 people are used" in printed, printed
    for scheme in "light", "dark":
        browser = Browser(driver, WIDE, scheme)
        browser.go((folder / "scores-ranks/study.html").as_uri())
        browser.shot(f"scores-{scheme}")
        browser.require_quiet()
        browser.close()


def start_server(folder, study, *options, port=0):
    server = subprocess.Popen([PIXART, "study", "serve", study, "--port", str(port), *options], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    links = {}
    while "p02" not in links:
        word, _, rest = server.stdout.readline().strip().partition(" ")
        assert word, "the server ended"
        links[word] = rest
    return server, links


def from_server(driver, folder):
    """A link; the server is killed in the middle, and started again a little later."""
    server, links = start_server(folder, "pairs")
    port = re.search(r":(\d+)/", links["p02"])[1]
    browser = Browser(driver, WIDE, "light")

    def restart():
        nonlocal server
        server.send_signal(signal.SIGKILL)
        server.wait()
        place = browser.place()
        browser.press("b")
        wait_for("the screen before", lambda: browser.place() != place)
        answer(browser, 2, True, False)  # while there is no server
        pass_pages(browser, True)
        server, again = start_server(folder, "pairs", port=port)
        assert again == links, "a link changed"

    try:
        browser.go(links["p02"])
        total = fill_in(browser, "served", True, False, in_the_middle=restart)
        wait_for("the answers", lambda: "All answers were sent" in browser.js("return document.getElementById('status').textContent"))
        browser.shot("served-sent")
        pixart("study", "export", "pairs.answers.sqlite", "served.jsonl", folder=folder)
        stored = {json.loads(line)["trial"] for line in (folder / "served.jsonl").read_text().splitlines()}
        assert stored == set(range(total)), stored
        other = Browser(driver, NARROW, "dark")  # the same link on another device
        other.go(links["p02"])
        wait_for("the end", lambda: is_end(other))
        other.require_quiet()
        other.close()
        browser.require_quiet(allowed="ERR_CONNECTION|Failed to load resource")
        print(f"served: {total} screens, the server was killed once", flush=True)
    finally:
        browser.close()
        server.kill()
        server.wait()


def posted(driver, folder):
    """A page from the disk, whose origin is null, sends to a server."""
    word = "collected1"
    make(folder, "first")  # to find a free port
    server, links = start_server(folder, "first")
    port = re.search(r":(\d+)/", links["p02"])[1]
    server.kill()
    server.wait()
    make(folder, "posting", "--post", f"http://127.0.0.1:{port}/collect/{word}")
    server, _ = start_server(folder, "posting", "--collect", word, port=port)
    browser = Browser(driver, NARROW, "light")
    try:
        browser.go((folder / "posting/index.html").as_uri() + "#p01")
        total = fill_in(browser, "posting", True, False)
        wait_for("the answers", lambda: "All answers were sent" in browser.js("return document.getElementById('status').textContent"))
        pixart("study", "export", "posting.answers.sqlite", "posted.jsonl", folder=folder)
        stored = {json.loads(line)["trial"] for line in (folder / "posted.jsonl").read_text().splitlines()}
        assert stored == set(range(total)), stored
        browser.require_quiet()
        print(f"posted from the disk: {total} screens", flush=True)
    finally:
        browser.close()
        server.kill()
        server.wait()


def main():
    if not shutil.which("chromedriver") or not (shutil.which("chromium") or shutil.which("google-chrome")):
        print("study_browser: there is no Chromium with chromedriver (Debian: chromium-driver)")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        driver = Driver(folder)
        try:
            from_disk(driver, folder)
            from_server(driver, folder)
            posted(driver, folder)
        finally:
            driver.close()
    return 0


sys.exit(main())
