"""Small files that are whole or absent, never half."""

import json
import os
import pathlib
from typing import Any


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a file in one atomic step."""
  temporary = path.with_name(path.name + '.tmp')
  with temporary.open('w') as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  os.replace(temporary, path)


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a JSON file in one atomic step."""
  write_text(path, json.dumps(value, indent=2) + '\n')
