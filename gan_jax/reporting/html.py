"""Pages that need nothing but themselves: text escaped, pictures embedded.

Whatever is not `Html` is escaped where it enters an element, so that a name
from a file can only ever be text. What a page may load or run is the browser's
to hold too: its Content-Security-Policy allows embedded pictures and the one
script that is named by its hash.
"""

import base64
import hashlib
import html
import io
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import PIL.Image

_HERE = pathlib.Path(__file__).parent
_VOID = ('img', 'input', 'link', 'meta')
MAX_EXACT_BYTES = 150_000  # of a picture that is embedded to the pixel
MAX_SIDE = 1600  # pixels, of any other


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


def webp(data: bytes) -> tuple[bytes, bool] | None:
  """A PNG file as WebP, which takes half of the bytes.

  It is the same to the pixel if that takes no more than MAX_EXACT_BYTES.
  Otherwise it is compressed with loss, and shrunk to MAX_SIDE.

  Returns:
    The WebP file, and whether it is exact; None if the PNG cannot be read.
  """
  try:
    image = PIL.Image.open(io.BytesIO(data), formats=['PNG']).convert('RGB')
  except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):
    return None
  file = io.BytesIO()
  if len(data) < 4 * MAX_EXACT_BYTES:  # more are not worth the time
    image.save(file, 'WEBP', lossless=True, method=2)
    if file.tell() <= MAX_EXACT_BYTES:
      return file.getvalue(), True
  file = io.BytesIO()
  image.thumbnail((MAX_SIDE, MAX_SIDE))
  image.save(file, 'WEBP', quality=80, method=2)
  return file.getvalue(), False


def picture(data: bytes, alt: str, class_: str | None = None) -> Html:
  """An embedded PNG or SVG file; a sentence in its place if it is neither."""
  exact = True
  if data.startswith(b'<?xml'):
    kind = 'svg+xml'
  elif (converted := webp(data)) is not None:
    kind = 'webp'
    data, exact = converted
  else:
    return element('p', f'{alt}: this picture cannot be read.')
  code = base64.b64encode(data).decode()
  return element(
    'img',
    src=f'data:image/{kind};base64,{code}',
    alt=alt,
    class_=class_,
    title=None if exact else 'compressed with loss; the PNG file is exact',
  )


def command(line: str) -> Html:
  """A command line, with a button that copies it where scripts run."""
  button = element('button', 'copy', type='button', hidden=True)
  return element('span', element('code', line), button, class_='command')


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


def page(
  title: str,
  sections: Sequence[tuple[str, str, Html]],
  lead: Html | None = None,
) -> str:
  """A whole page, with links to its sections.

  Args:
    title: of the page, and its heading.
    sections: what `section` returns.
    lead: what stands above everything else.
  """
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
    element(
      'header', element('h1', title), lead or Html(), element('nav', *links)
    ),
    element('main', *(markup for _, _, markup in sections)),
    element('script', script),
  )
  return f'<!DOCTYPE html>\n{element("html", head, body, lang="en")}\n'
