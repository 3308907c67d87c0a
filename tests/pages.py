"""What the tests of the pages in docs/ read from them."""

import inspect
import re


def table(page, first_header):
  """The rows of one table, by their first cell, without its backquotes."""
  start = page.index(f'| {first_header} |')
  lines = page[start:].partition('\n\n')[0].splitlines()
  cells = [
    [cell.strip() for cell in line.strip()[1:-1].split('|')]
    for line in lines[2:]
  ]
  names = [row[0].strip('`') for row in cells]
  assert len(set(names)) == len(names)
  assert {len(row) for row in cells} == {lines[0].count('|') - 1}
  return dict(zip(names, cells, strict=True))


def code_blocks(page):
  return re.findall(r'```python\n(.*?)```', page, re.DOTALL)


def links(page):
  """Links to files, and to headings of the page itself."""
  found = re.findall(r'\]\(((?!https:)[^)]+)\)', page)
  return (
    sorted(link for link in found if link[0] != '#'),
    {link[1:] for link in found if link[0] == '#'},
  )


def anchors(page):
  headings = re.findall(r'^##+ (.*)$', page, re.MULTILINE)
  return {re.sub(r'[^\w ]', '', h).lower().replace(' ', '-') for h in headings}


def without_annotations(function):
  signature = inspect.signature(function)
  own = [
    parameter.replace(annotation=parameter.empty)
    for parameter in signature.parameters.values()
    if parameter.name not in ('parent', 'name')  # every Flax module's
  ]
  return str(
    signature.replace(parameters=own, return_annotation=signature.empty)
  )


def public(module):
  """Functions and classes that are the module's own."""
  return [
    name
    for name, value in vars(module).items()
    if (inspect.isfunction(value) or inspect.isclass(value))
    and value.__module__ == module.__name__
    and not name.startswith('_')
  ]
