"""Pages that need nothing but themselves: text escaped, pictures embedded.

Whatever is not `Html` is escaped where it enters an element, so that a name
from a file can only ever be text. What a page may load or run is the browser's
to hold too: its Content-Security-Policy allows embedded pictures and the one
script that is named by its hash.
"""

import base64
import hashlib
import html
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

_HERE = pathlib.Path(__file__).parent
_VOID = ('img', 'input', 'link', 'meta')
_PNG = b'\x89PNG\r\n\x1a\n'


class Html(str):
  """Markup: text that needs no escaping any more."""

  __slots__ = ()


def text(value: Any) -> Html:
  """Any value as text, for content and for quoted attributes."""
  return value if isinstance(value, Html) else Html(html.escape(str(value)))


def join(*parts: Any) -> Html:
  """Markup and text, one after the other."""
  return Html(''.join(map(text, parts)))


def element(tag: str, *children: Any, **attributes: Any) -> Html:
  """An element.

  Args:
    tag: its name.
    *children: markup, or whatever else as text.
    **attributes: by name, without a trailing _, which keeps `class_` apart
      from the keyword, and with - for _; True stands alone, False and None are
      left out.
  """
  head = tag
  for name, value in attributes.items():
    if value is True:
      head += f' {name.rstrip("_").replace("_", "-")}'
    elif value is not False and value is not None:
      head += (
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
      )
  if tag in _VOID:
    return Html(f'<{head}>')
  return Html(f'<{head}>{join(*children)}</{tag}>')


def picture(data: bytes, alt: str, class_: str | None = None) -> Html:
  """An embedded PNG or SVG file; a sentence in its place if it is neither."""
  if data.startswith(_PNG):
    kind = 'png'
  elif data.startswith(b'<?xml'):
    kind = 'svg+xml'
  else:
    return element('p', f'{alt}: this picture cannot be read.')
  code = base64.b64encode(data).decode()
  source = f'data:image/{kind};base64,{code}'
  return element('img', src=source, alt=alt, class_=class_)


def figure(shown: Html, *caption: Any, **attributes: Any) -> Html:
  """A picture with its caption."""
  return element('figure', shown, element('figcaption', *caption), **attributes)


def table(
  rows: Iterable[Sequence[Any]], head: Sequence[Any] = (), **attributes: Any
) -> Html:
  """A table whose first column names the rows; a wide one scrolls."""
  parts = []
  if head:
    cells = (element('th', name, scope='col') for name in head)
    parts.append(element('thead', element('tr', *cells)))
  body = (
    element(
      'tr',
      element('th', name, scope='row'),
      *(element('td', cell) for cell in cells),
    )
    for name, *cells in rows
  )
  parts.append(element('tbody', *body))
  return element('div', element('table', *parts, **attributes), class_='wide')


def section(name: str, title: str, *content: Any) -> tuple[str, str, Html]:
  """A part of a page: its anchor, its title and its markup."""
  body = element('section', element('h2', title), *content, id=name)
  return name, title, body


def page(title: str, sections: Sequence[tuple[str, str, Html]]) -> str:
  """A whole page, with links to its sections."""
  style, script = (
    Html((_HERE / f'report.{kind}').read_text()) for kind in ('css', 'js')
  )
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  policy = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{digest}'"
  )
  head = element(
    'head',
    element('meta', charset='utf-8'),
    Html(
      '<meta http-equiv="Content-Security-Policy" '
      f'content="{html.escape(policy)}">'
    ),
    element(
      'meta', name='viewport', content='width=device-width, initial-scale=1'
    ),
    element('title', title),
    element('style', style),
  )
  links = (
    element('a', heading, href=f'#{name}') for name, heading, _ in sections
  )
  body = element(
    'body',
    element('header', element('h1', title), element('nav', *links)),
    element('main', *(markup for _, _, markup in sections)),
    element('script', script),
  )
  return f'<!DOCTYPE html>\n{element("html", head, body, lang="en")}\n'
