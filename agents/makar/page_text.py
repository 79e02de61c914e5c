"""Title and text of an HTML page by one pass over its tags, without any parser of trees.

Everything that is shown counts as text, menus included, which trafilatura would leave out. Time grows with the length
of the page whatever it holds; `html.parser` of Python 3.11 takes minutes for some 100 kB of unclosed tags.
"""

import codecs
import html
import re
from collections.abc import Iterator


SKIPPED = frozenset(
    {"iframe", "math", "noscript", "object", "script", "style", "svg", "template", "textarea", "title"}
)
INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "em", "font", "i", "img", "ins", "kbd", "mark", "q", "s"}
    | {"small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr"}
)
# Codecs that decode in one pass; others of Python, such as idna, can be made slow.
ENCODINGS = ("ascii", "big5", "cp", "euc", "gb", "iso8859", "koi8", "mac-", "shift_jis", "utf-8", "utf-16")
TAG = re.compile(r"</?([a-zA-Z][^\s/>]{0,40})")
CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?([\w.:-]{1,40})", re.IGNORECASE)
TITLE = re.compile(r"<title(?:\s[^>]{0,200})?>([^<]{0,1000})", re.IGNORECASE)


def decoded(content: bytes, charset: str | None) -> str:
    """Text of a page: by its byte order mark, the `charset` of its header, its own `<meta charset>`, or as UTF-8.

    Bytes that do not decode become U+FFFD.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    if content.startswith(codecs.BOM_UTF8):
        return content.decode("utf-8-sig", "replace")
    inside = CHARSET.search(content[:2048])
    for name in (charset, inside and inside[1].decode("ascii", "replace")):
        try:
            encoding = codecs.lookup(name or "").name
        except (LookupError, ValueError):
            continue
        if encoding.startswith(ENCODINGS):
            return content.decode(encoding, "replace")
    return content.decode("utf-8", "replace")


def title_of(page: str) -> str:
    """What is between `<title>` and the next tag, in one line; "" without one."""
    found = TITLE.search(page)
    return " ".join(html.unescape(found[1]).split()) if found else ""


def text_of(page: str) -> str:
    """Text of an HTML page: a line per block, spaces as single spaces, no empty lines."""
    lines = html.unescape("".join(_shown(page))).splitlines()
    return "\n".join(filter(None, (" ".join(line.split()) for line in lines)))


def _shown(page: str) -> Iterator[str]:
    """Text between tags, where white space is a space, and a line break for every tag of a block."""
    at = 0
    while True:
        start = page.find("<", at)
        if start < 0:
            yield _flat(page[at:])
            return
        yield _flat(page[at:start])
        if page.startswith("<!--", start):
            at = _after(page, "-->", start + 4)
        elif tag := TAG.match(page, start):
            name = tag[1].lower()
            at = _after(page, ">", tag.end())
            if name in SKIPPED and page[start + 1] != "/":
                closing = re.compile(f"</{re.escape(name)}", re.IGNORECASE).search(page, at)
                at = len(page) if closing is None else closing.start()
            yield "" if name in INLINE else "\n"
        elif page.startswith(("<!", "<?", "</"), start):
            at = _after(page, ">", start + 2)
        else:
            yield "<"
            at = start + 1


def _after(page: str, mark: str, start: int) -> int:
    """Position after the next `mark`; the end of the page where there is none, which ends the text."""
    found = page.find(mark, start)
    return len(page) if found < 0 else found + len(mark)


def _flat(text: str) -> str:
    return re.sub(r"\s", " ", text)
