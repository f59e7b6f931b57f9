//! The book in a real browser, as its readers meet it.

#![cfg(feature = "book")]
#![allow(clippy::unwrap_used)] // a test may panic

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/served.rs"]
mod served;

use browser::{Browser, CONTROL, ENTER, SHIFT, TAB};
use common::{Who, everybody, has};
use serde_json::json;
use served::{Served, assert_nothing_left, descendants, until};

/// A browser on a served book, and whoever serves.
fn in_a_browser(test: &str, act: impl Fn(&Who, &Served, &Browser)) {
    if !(has(test, "chromedriver") && has(test, "chromium")) {
        return;
    }
    everybody(test, |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let server = Served::start(who, &[]);
        let browser = Browser::start();
        browser.open(&server.url);
        act(who, &server, &browser);
        assert_eq!(browser.errors(), [""; 0], "the browser complains");
        drop(browser);
        until("its processes are gone", 20, || descendants(server.pid()).is_empty());
        assert_nothing_left(who);
    });
}

fn chapter(server: &Served, browser: &Browser, path: &str) {
    browser.open(&format!("http://{}/{path}", server.host));
    browser.until(10, "return document.querySelector('.sandbox-bar') !== null");
}

/// The bar of buttons below the block of a part.
fn bar(part: &str) -> String {
    format!("pre:has(code[class~=\"part={part}\"]) + .sandbox-bar")
}

fn run(browser: &Browser, part: &str) {
    browser.click(&format!("{} button[title^=Run]", bar(part)));
    let live = format!("return document.querySelector('{} + .sandbox-live') !== null", bar(part));
    browser.until(60, &live);
}

/// What the cell of a command shows on a side, in the part that was just run.
fn cell(browser: &Browser, part: &str, command: &str, side: usize) -> String {
    browser.text(&format!(
        "const live = document.querySelector('{} + .sandbox-live');
         const head = [...live.querySelectorAll('th code')].find((code) =>
           code.textContent === `{command}`);
         return head.closest('tr').nextElementSibling.cells[{side}].innerText.trim()",
        bar(part)
    ))
}

#[test]
fn the_button_runs_a_part_of_lesson_2_and_of_lesson_3_and_shows_before_beside_after() {
    in_a_browser("the button Run", |who, server, browser| {
        chapter(server, browser, "lessons/namespaces.html");
        run(browser, "namespaces.uts");
        let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(cell(browser, "namespaces.uts", "$ hostname", 0), own.trim());
        assert_eq!(cell(browser, "namespaces.uts", "$ hostname", 1), "sandbox");
        browser.js("document.querySelector('.sandbox-live').scrollIntoView()");
        browser.picture(&format!("run-{}", who.name));
        let beside = browser.js(
            "const cells = document.querySelector('.sandbox-live tbody tr:nth-child(2)').cells;
             const [left, right] = [...cells].map((cell) => cell.getBoundingClientRect());
             return left.top === right.top && left.right <= right.left + 1",
        );
        assert_eq!(beside, true);

        chapter(server, browser, "lessons/cgroups.html");
        run(browser, "cgroups.rlimits");
        let claims = browser.text("return document.querySelector('.sandbox-live').innerText");
        assert!(!claims.contains("does not hold"), "{claims}");
        let held = "return document.querySelectorAll('.sandbox-live .holds').length";
        assert!(browser.js(held).as_u64().unwrap() >= 3, "{claims}");
    });
}

#[test]
fn a_part_of_lesson_3_limits_what_it_says_or_tells_why_it_cannot() {
    in_a_browser("a part about cgroups", |who, server, browser| {
        chapter(server, browser, "lessons/cgroups.html");
        run(browser, "cgroups.fork-bomb");
        let said = browser.text("return document.querySelector('.sandbox-live').innerText");
        if who.may_make_cgroups() {
            assert!(!said.contains("skipped:"), "{said}");
            let held = "return document.querySelectorAll('.sandbox-live .holds').length";
            assert!(browser.js(held).as_u64().unwrap() >= 2, "{said}");
        } else {
            assert!(said.contains("skipped:") && said.contains("What would allow it:"), "{said}");
        }
    });
}

#[test]
fn the_terminal_answers_with_the_name_of_the_sandbox_and_is_gone_with_the_page() {
    in_a_browser("the terminal in the page", |who, server, browser| {
        chapter(server, browser, "lessons/namespaces.html");
        browser.click(&format!("{} button[title^=Open]", bar("namespaces.uts")));
        let screen = "(document.querySelector('.xterm-accessibility-tree')?.innerText ?? '')";
        browser.until(30, &format!("return {screen}.includes('#')"));
        browser.press(&[], &format!("hostname{ENTER}"));
        browser.until(30, &format!("return /\\nsandbox\\n/.test({screen})"));
        browser.js("document.querySelector('.sandbox-terminal').scrollIntoView()");
        browser.picture(&format!("terminal-{}", who.name));
        // More than the server takes in one message.
        browser.press(&[], &format!("cat > /dev/null; echo pas''ted{ENTER}"));
        browser.js("const pasted = new DataTransfer();
            pasted.setData('text/plain', ('x'.repeat(99) + '\\n').repeat(2000) + '\\x04');
            document.querySelector('.xterm-helper-textarea').dispatchEvent(
                new ClipboardEvent('paste', { clipboardData: pasted, bubbles: true }))");
        browser.until(60, &format!("return /\\npasted\\n/.test({screen})"));
        assert!(!descendants(server.pid()).is_empty());
        browser.close_page();
        until("the sandbox is gone", 20, || descendants(server.pid()).is_empty());
        assert_nothing_left(who);
    });
}

#[test]
fn the_keyboard_alone_reaches_and_leaves_everything() {
    in_a_browser("the keyboard", |_, server, browser| {
        chapter(server, browser, "lessons/namespaces.html");
        // The page begins in its middle, or the way there is long.
        browser.js(&format!(
            "document.querySelector('{}').previousElementSibling.focus()",
            bar("namespaces.uts")
        ));
        let focused = "return document.activeElement.title";
        let reach = |title: &str| {
            for _ in 0..10 {
                browser.press(&[], TAB);
                if browser.text(focused).starts_with(title) {
                    return;
                }
            }
            panic!("Tab does not reach {title}");
        };
        reach("Copy the commands");
        let outline = "return getComputedStyle(document.activeElement).outlineStyle";
        assert_eq!(browser.text(outline), "solid", "the focus is not seen");
        reach("Run the part");
        browser.press(&[], ENTER);
        browser.until(60, "return document.querySelector('.sandbox-live') !== null");
        reach("Open a shell");
        browser.press(&[], ENTER);
        let screen = "(document.querySelector('.xterm-accessibility-tree')?.innerText ?? '')";
        browser.until(30, &format!("return {screen}.includes('#')"));
        browser.press(&[], &format!("hostname{ENTER}"));
        browser.until(30, &format!("return /\\nsandbox\\n/.test({screen})"));
        browser.press(&[SHIFT], TAB);
        assert!(browser.text(focused).starts_with("End the shell"), "no way out of the terminal");
        browser.press(&[], ENTER);
        browser.until(30, "return document.querySelector('.sandbox-terminal > button') === null");
        assert!(browser.text(focused).starts_with("Open a shell"), "the focus is lost");
        // Everything that can be clicked can be reached with Tab, and has a name.
        let unreachable = browser.js(
            "return [...document.querySelectorAll('main button, main a[href], main summary')]
               .filter((e) => e.tabIndex < 0 || (e.innerText + (e.ariaLabel ?? '')).trim() === '')
               .map((e) => e.outerHTML)",
        );
        assert_eq!(unreachable, json!([]));
        let scrollable = browser
            .js("return [...document.querySelectorAll('main pre')].filter((e) =>
               e.scrollWidth > e.clientWidth && e.tabIndex < 0 && !e.closest('.xterm')).length");
        assert_eq!(scrollable, 0);
    });
}

/// WCAG 2's contrast of every piece of text in the page with what is behind it.
const FAINT: &str = r"
const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
const behind = (element) => {
  if (!element) return [255, 255, 255];
  const colour = rgba(getComputedStyle(element).backgroundColor);
  return colour[3] === 1 ? colour.slice(0, 3) : over(colour, behind(element.parentElement));
};
const faint = new Map();
const walk = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
for (let node; (node = walk.nextNode());) {
  const element = node.parentElement;
  if (node.data.trim() === '' || !element.checkVisibility() || element.closest('.xterm')) continue;
  const back = behind(element);
  const front = over(rgba(getComputedStyle(element).color), back);
  const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
  const contrast = (high + 0.05) / (low + 0.05);
  const name = `${element.tagName}.${element.className} ${getComputedStyle(element).color}`;
  if (contrast < 4.5) faint.set(name, `${contrast.toFixed(2)}: ${node.data.trim().slice(0, 40)}`);
}
return [...faint].map(([name, how]) => `${name} ${how}`);
";

#[test]
fn text_stands_out_from_its_background_in_every_theme() {
    in_a_browser("contrast", |who, server, browser| {
        let pages = ["lessons/namespaces.html", "stages/uts.html", "setup.html", "exercises.html"];
        let mut wrong = Vec::new();
        for theme in ["light", "navy", "coal", "ayu", "rust"] {
            browser.js(&format!("localStorage.setItem('mdbook-theme', '{theme}')"));
            for page in pages {
                browser.open(&format!("http://{}/{page}", server.host));
                browser.until(
                    10,
                    &format!("return document.documentElement.classList.contains('{theme}')"),
                );
                browser.js("for (const d of document.querySelectorAll('details')) d.open = true");
                if page.starts_with("lessons") && who.is_root() {
                    run(browser, "namespaces.uts");
                }
                let faint = browser.js(FAINT);
                for faint in faint.as_array().unwrap() {
                    wrong.push(format!("{theme} {page}: {faint}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn a_phone_shows_the_sides_below_each_other_and_scrolls_no_page_sideways() {
    in_a_browser("a phone", |_, server, browser| {
        for (theme, name) in [("light", "light"), ("navy", "dark")] {
            browser.size(1280, 900);
            browser.js(&format!("localStorage.setItem('mdbook-theme', '{theme}')"));
            for page in ["introduction", "lessons/namespaces", "stages/uts"] {
                browser.open(&format!("http://{}/{page}.html", server.host));
                browser.size(1280, 900);
                browser.picture(&format!("{}-{name}-desk", page.replace('/', "-")));
                browser.size(390, 844);
                browser.open(&format!("http://{}/{page}.html", server.host));
                browser.until(5, "return innerWidth <= 400");
                let wide = browser.js("return document.documentElement.scrollWidth - innerWidth");
                assert!(wide.as_i64().unwrap() <= 0, "{page}: {wide} too wide");
                browser.js("document.querySelector('.sandbox-result')?.scrollIntoView()");
                browser.picture(&format!("{}-{name}-phone", page.replace('/', "-")));
            }
        }
        chapter(server, browser, "lessons/namespaces.html");
        let below = browser.js(
            "const cells = document.querySelector('table.sides tbody tr:nth-child(2)').cells;
             const [first, second] = [...cells].map((cell) => cell.getBoundingClientRect());
             return first.bottom <= second.top + 1",
        );
        assert_eq!(below, true);
    });
}

#[test]
fn the_page_prints_with_both_sides_and_without_buttons() {
    if !has("printing", "pdftotext") {
        return;
    }
    in_a_browser("printing", |who, server, browser| {
        chapter(server, browser, "lessons/namespaces.html");
        let file = who.home().join("page.pdf");
        std::fs::write(&file, browser.print()).unwrap();
        let mut read = std::process::Command::new("pdftotext");
        let read = read.arg("-layout").arg(&file).arg("-").output().unwrap();
        let text = String::from_utf8_lossy(&read.stdout);
        for there in ["without uts", "with uts", "$ sandbox lesson namespaces.uts", "✔"] {
            assert!(text.contains(there), "no `{there}` on paper");
        }
        let button = text.lines().any(|line| line.trim() == "Copy" || line.contains("Terminal"));
        assert!(!button, "a button is printed");
    });
}

#[test]
fn the_published_pages_copy_the_commands_only() {
    in_a_browser("the button Copy", |_, _, browser| {
        let dir = tempfile::tempdir().unwrap();
        let mut book = mdbook_driver::MDBook::load("book").unwrap();
        book.config.build.build_dir = dir.path().to_owned();
        book.build().unwrap();
        browser.open(&format!("file://{}/stages/uts.html", dir.path().display()));
        browser.until(10, "return document.querySelector('.sandbox-bar') !== null");
        assert_eq!(browser.js("return document.querySelector('button[title^=Run]')"), json!(null));
        // The block of `sandbox explain uts` has output too.
        browser.click("pre:has(code.language-console) + .sandbox-bar button[title^=Copy]");
        browser
            .until(5, "return document.querySelector('.sandbox-status').textContent === 'copied'");
        browser.js("const field = document.createElement('textarea');
             document.querySelector('main').append(field); field.focus()");
        browser.press(&[CONTROL], "v");
        browser.until(5, "return document.querySelector('textarea').value !== ''");
        let pasted = browser.text("return document.querySelector('textarea').value");
        assert_eq!(pasted, "sandbox explain uts");
    });
}

#[test]
fn others_type_the_password_and_read() {
    if !(has("the page for the password", "chromedriver") && has("the same", "chromium")) {
        return;
    }
    common::as_user("the page for the password", |who| {
        let server = Served::start(who, &["--listen", "127.0.0.1"]);
        let mut said = String::new();
        while !said.contains("unencrypted") {
            said += &server.stderr.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
        }
        let password = said.split("the password:").nth(1).unwrap().split_whitespace().next();
        let browser = Browser::start();
        browser.open(&server.url);
        browser.until(10, "return document.activeElement.name === 'key'");
        browser.press(&[], &format!("wrong{ENTER}"));
        browser.until(10, "return document.activeElement.name === 'key'");
        browser.press(&[], &format!("{}{ENTER}", password.unwrap()));
        browser.until(10, "return document.querySelector('main h1')?.id === 'introduction'");
    });
}

#[test]
fn the_search_finds_a_word() {
    in_a_browser("the search", |_, server, browser| {
        chapter(server, browser, "lessons/namespaces.html");
        browser.press(&[], "/");
        browser.until(10, "return document.activeElement.type === 'search'");
        browser.press(&[], "whiteout");
        browser
            .until(20, "return document.querySelectorAll('#mdbook-searchresults li').length > 0");
    });
}
