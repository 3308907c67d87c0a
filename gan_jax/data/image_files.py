"""Image files: finding, reading and resizing them."""

import contextlib
import dataclasses
import hashlib
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import NamedTuple, NoReturn, Protocol

import numpy as np
from PIL import ExifTags, Image, ImageOps
from tqdm import tqdm

from gan_jax.config import key, one_of
from gan_jax.core.errors import InputError, enumeration

_EXTENSIONS = ('png', 'jpg', 'jpeg', 'webp', 'bmp', 'tif', 'tiff', 'gif')
# Pillow's other readers see no file, whatever its name: that of EPS, for
# example, starts a program.
_FORMATS = ('PNG', 'JPEG', 'WEBP', 'BMP', 'TIFF', 'GIF')
_LITTER = ('thumbs.db', 'desktop.ini', '__macosx')


def list_folder(folder: pathlib.Path) -> list[pathlib.Path]:
  """Lists a folder's entries by name, without operating systems' files."""
  entries = [
    path
    for path in folder.iterdir()
    if not path.name.startswith('.') and path.name.lower() not in _LITTER
  ]
  return sorted(entries, key=lambda path: path.name)


def find_images(folder: pathlib.Path) -> list[pathlib.Path]:
  """Finds the image files directly in a folder, sorted by name.

  Other files are ignored, with a note.

  Raises:
    InputError: there is no such folder, it has a sub-folder, or it has no file
      with an image's extension; hidden ones do not count.
  """
  if not folder.is_dir():
    raise InputError(f'there is no folder {folder}; create it, with images')
  paths = list_folder(folder)
  for path in paths:
    if path.is_dir():
      raise InputError(
        f'{path} is a folder where only images should be; move it elsewhere'
      )
  return select_images(folder, paths)


def select_images(
  folder: pathlib.Path, paths: Sequence[pathlib.Path]
) -> list[pathlib.Path]:
  """Selects a folder's image files; a note names the others.

  Raises:
    InputError: there are none.
  """
  images = [path for path in paths if is_image(path)]
  others = [str(x.relative_to(folder)) for x in paths if not is_image(x)]
  if not images:
    only = f', only {enumeration(others)}' if others else ''
    raise InputError(
      f'{folder} holds no images ({", ".join(_EXTENSIONS)}){only}; put some '
      'into it, and unpack archives first'
    )
  if others:
    print(
      f'note: ignored in {folder}, not images: {enumeration(others)}',
      file=sys.stderr,
    )
  return images


def is_image(path: pathlib.Path) -> bool:
  """Returns whether a file has an image's extension."""
  return path.suffix.lower()[1:] in _EXTENSIONS


def _from_16_bits(image: Image.Image) -> Image.Image:
  """Converts gray 0..65535 to 0..255; Pillow's own conversion clips."""
  values = np.asarray(image).astype(np.int32)
  if values.min() < 0 or values.max() > 65535:
    raise ValueError(
      f'its pixels range over {values.min()}..{values.max()}, not 0..65535'
    )
  return Image.fromarray(np.uint8((values + 128) // 257))


def _over_white(image: Image.Image) -> Image.Image:
  white = Image.new('RGBA', image.size, 'white')
  return Image.alpha_composite(white, image.convert('RGBA'))


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Image.Image]:
  """Opens an image file without reading its pixels.

  Raises:
    InputError: a file that cannot be read or has more pixels than Pillow's
      limit, or any other error in the body of the with statement.
  """
  try:
    if path.exists() and not path.is_file():
      raise ValueError('it is not a regular file')  # reading a pipe would wait
    with Image.open(path, formats=_FORMATS) as image:
      limit = Image.MAX_IMAGE_PIXELS
      # Pillow itself only warns, up to twice the limit.
      if limit is not None and image.width * image.height > limit:
        raise Image.DecompressionBombError
      yield image
  except (Image.DecompressionBombError, Image.DecompressionBombWarning):
    raise InputError(
      f'{path} has more pixels than the limit of {Image.MAX_IMAGE_PIXELS}, as '
      'decompression bombs do; shrink or remove it'
    ) from None
  except Exception as error:  # a broken file can raise nearly anything
    reason = ' '.join(str(error).split())
    raise InputError(
      f'cannot read {path}: {reason}; replace it with an intact 8-bit PNG or '
      'JPEG, or remove it'
    ) from error


def image_size(path: pathlib.Path) -> tuple[int, int]:
  """Reads height and width of an image file, after EXIF rotation.

  Raises:
    InputError: as `read_image`.
  """
  with _opened(path) as image:
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    if image.format == 'TIFF':  # Pillow rotates its size already
      turned = False
    return image.size if turned else image.size[::-1]


def read_image(
  path: pathlib.Path, channels: int, half: str | None = None
) -> np.ndarray:
  """Reads the pixels of an image file, as a viewer shows them.

  It applies the EXIF rotation, composites transparent pixels over white, and
  reads the first frame of an animation.

  Args:
    path: the file.
    channels: 1 for gray, 3 for RGB.
    half: 'left' or 'right' of two pictures side by side; None for all.

  Returns:
    uint8 [H, W, channels].

  Raises:
    InputError: a file that cannot be read or has more pixels than Pillow's
      limit, or halves of an odd width.
  """
  with _opened(path) as image:
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == 'F':
      raise ValueError('its pixels are floats of unknown range')
    if image.mode.startswith('I'):
      image = _from_16_bits(image)
    elif image.has_transparency_data:
      image = _over_white(image)
    pixels = np.array(image.convert('L' if channels == 1 else 'RGB'))
  height, width = pixels.shape[:2]
  pixels = pixels.reshape(height, width, channels)
  if half is None:
    return pixels
  if width % 2:
    raise InputError(
      f'{path} is {width} pixels wide, so it has no two equal halves; two '
      'pictures side by side must be equally wide'
    )
  return pixels[:, : width // 2] if half == 'left' else pixels[:, width // 2 :]


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Resizes an image, uint8 [H, W, 1 or 3], to [H', W'].

  Interpolation is bicubic, with antialiasing.
  """
  channels = image.shape[-1]
  picture = Image.fromarray(image[..., 0] if channels == 1 else image)
  picture = picture.resize(size[::-1], Image.Resampling.BICUBIC)
  return np.array(picture).reshape(*size, channels)


def map_in_threads(function: Callable, items: Sequence, desc: str) -> Iterator:
  """Maps a function over items in threads, with a progress bar."""
  with futures.ThreadPoolExecutor() as pool:
    yield from tqdm(
      pool.map(function, items),
      desc=desc,
      total=len(items),
      disable=not sys.stderr.isatty(),
    )


class Source(Protocol):
  """Source of images: files in a folder, or records of a data set."""

  def __len__(self) -> int: ...

  def take(self, rows: Iterable[int]) -> 'Source':
    """Selects rows, in this order."""
    ...

  def name(self, index: int) -> str:
    """Returns the name of one image, for messages."""
    ...

  def read(self, index: int, channels: int) -> np.ndarray:
    """Reads one image, uint8 [H, W, channels]; InputError if it is broken."""
    ...

  def sha256(self) -> str:
    """Hashes all images, in order."""
    ...


@dataclasses.dataclass(frozen=True)
class Pictures:
  """Image files as a source, either whole or one half of each."""

  paths: tuple[pathlib.Path, ...]
  half: str | None = None  # 'left' or 'right'

  def __len__(self) -> int:
    return len(self.paths)

  def take(self, rows: Iterable[int]) -> 'Pictures':
    return Pictures(tuple(self.paths[i] for i in rows), self.half)

  def name(self, index: int) -> str:
    return str(self.paths[index])

  def read(self, index: int, channels: int) -> np.ndarray:
    return read_image(self.paths[index], channels, self.half)

  def sha256(self) -> str:
    """Hashes the files' bytes in order, and the half, but not the names."""
    digest = hashlib.sha256(str(self.half).encode())
    for part in map_in_threads(_file_sha256, self.paths, 'hashing images'):
      digest.update(part)
    return digest.hexdigest()


def _file_sha256(path: pathlib.Path) -> bytes:
  try:
    with open(path, 'rb') as file:
      return hashlib.file_digest(file, 'sha256').digest()
  except OSError as error:
    raise InputError(
      f'cannot read {path}: {error.strerror}; restore it'
    ) from error


ON_BAD_FILE = key(
  'stop',
  one_of('stop', 'skip'),
  'whether files that cannot be read stop a run or are skipped; skipped ones '
  'are counted in data.json',
  since=4,
)


class Scan(NamedTuple):
  """Sizes of a source's images, and why some cannot be read."""

  sizes: list[tuple[int, int] | None]
  bad: dict[int, str]  # reasons, by index


def scan(source: Source, channels: int) -> Scan:
  """Reads all images once, to find their sizes and broken files."""

  def one(index):
    try:
      return source.read(index, channels).shape[:2], None
    except InputError as error:
      return None, str(error)

  found = list(map_in_threads(one, range(len(source)), 'checking images'))
  return Scan(
    [size for size, _ in found],
    {i: reason for i, (_, reason) in enumerate(found) if reason is not None},
  )


def note_skipped(reasons: Iterable[str]) -> None:
  """Prints a note on each skipped file, with the reason."""
  for reason in dict.fromkeys(reasons):
    print(f'note: skipped, {reason.partition("; ")[0]}', file=sys.stderr)


def refuse_bad(reasons: Iterable[str], total: int) -> NoReturn:
  """Raises InputError for files that cannot be read, and names them.

  Args:
    reasons: the error message of each file.
    total: the number of all files.
  """
  reasons = list(dict.fromkeys(reasons))
  if len(reasons) == 1:
    raise InputError(f'{reasons[0]}, or set config.data.on_bad_file to skip')
  # The remedies are left out: they are the same for all.
  named = '; '.join(reason.partition('; ')[0] for reason in reasons[:50])
  more = f'; and {len(reasons) - 50} more' if len(reasons) > 50 else ''
  raise InputError(
    f'{len(reasons)} of {total} files are not intact images: {named}{more}; '
    'replace or remove them, or set config.data.on_bad_file to skip'
  )


@dataclasses.dataclass(frozen=True)
class StoredImages:
  """Sequence of images that are read on each access, or kept in memory.

  Args:
    source: the source of the images, of any sizes.
    size: H, W of all images; None: sizes differ.
    channels: C, 1 for gray, 3 for RGB.
    prepare: preprocesses an image, to the size `size`; None: resize it.
    pixels: all images, if they are kept in memory.
  """

  source: Source
  size: tuple[int, int] | None
  channels: int
  prepare: Callable[[np.ndarray], np.ndarray] | None = None
  pixels: Sequence[np.ndarray] | None = dataclasses.field(
    default=None, repr=False, compare=False
  )

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> np.ndarray:
    """Returns image `index`, uint8 [H, W, C]."""
    if self.pixels is not None:
      return self.pixels[index]
    image = self.source.read(index, self.channels)
    if self.prepare is not None:
      return self.prepare(image)
    return resize(image, self.size)

  @property
  def shape(self) -> tuple[int, int | None, int | None, int]:
    return len(self), *(self.size or (None, None)), self.channels

  def kept(self) -> 'StoredImages':
    """Reads all images and returns them kept in memory."""
    read = map_in_threads(self.__getitem__, range(len(self)), 'reading images')
    if self.size is None:
      return dataclasses.replace(self, pixels=list(read))
    images = np.empty(self.shape, np.uint8)
    for i, image in enumerate(read):
      images[i] = image
    return dataclasses.replace(self, pixels=images)
